// mix: the numbers that golden/oracle.py must have, too (golden_python_test.py has the same
// literals). splitmix64's are those of its published reference implementation.

#include "kernels/base/mix.h"

#include "tests/catch.h"

using namespace moe;

TEST_CASE("mix: splitmix64 of 0 and of 1234567 are the published ones") {
  STATIC_REQUIRE(splitmix64(0) == 0xE220A8397B1DCDAFULL);
  STATIC_REQUIRE(splitmix64(1234567) == 6457827717110365317ULL);
}

TEST_CASE("mix: one index after the other") {
  STATIC_REQUIRE(mix(7) == splitmix64(7));
  STATIC_REQUIRE(mix(7, 1, 2) == splitmix64(splitmix64(splitmix64(7) ^ 1U) ^ 2U));
  STATIC_REQUIRE(mix(7, 1, 2) == mixed_with(mixed_with(splitmix64(7), 1), 2));
  STATIC_REQUIRE(mix(7, 1, 2) != mix(7, 2, 1));
}
