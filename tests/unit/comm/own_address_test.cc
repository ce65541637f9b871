// Under which address a rank is reached, and where its meeting point listens. Only this machine's
// own addresses can be asked here; tests/process/joined_test.py makes a second machine.

#include "comm/own_address.h"

#include "kernels/base/check.h"
#include "tests/catch.h"

using namespace moe;

TEST_CASE("own address: loopback reaches loopback from loopback, numbers and names") {
  for (const char* host : {"127.0.0.1", "localhost"}) {
    CAPTURE(host);
    const Reach reach = reach_of({host, 29501});
    CHECK(is_loopback(reach.own));
    CHECK(is_loopback(reach.theirs));
  }
  CHECK(reach_of({"127.0.0.1", 29501}).theirs == "127.0.0.1");
}

TEST_CASE("own address: a host that does not exist is named") {
  CHECK_THROWS_WITH(reach_of({"no.such.host.invalid", 1}),
                    Catch::Matchers::Contains("no address for host 'no.such.host.invalid'"));
}

TEST_CASE("own address: what never leaves the machine") {
  for (const char* host : {"127.0.0.1", "127.0.1.1", "::1", "localhost"}) CHECK(is_loopback(host));
  for (const char* host : {"10.127.0.1", "192.168.1.27", "1270.0.0.1", "fe80::1", "", "node7"}) {
    CHECK_FALSE(is_loopback(host));
  }
}

TEST_CASE("own address: a meeting point listens everywhere, or on loopback alone") {
  CHECK(listening_address({"127.0.0.1", 5}).host == "127.0.0.1");
  CHECK(listening_address({"node7", 5}).host == "0.0.0.0");
  CHECK(listening_address({"10.0.0.7", 5}).host == "0.0.0.0");
  CHECK(listening_address({"fd00::7", 5}).host == "::");
  CHECK(listening_address({"node7", 5}).port == 5);
}
