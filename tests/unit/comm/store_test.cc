// The store: keys, waiting, who is let in, who is lost, and what a stranger on its port can do
// (nothing). Strangers speak through plain sockets.

#include "comm/store.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "comm/store_frame.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Catch::Matchers::Contains;
constexpr milliseconds soon{10000};

StoreClient client_of(const StoreServer& server, int member) {
  return StoreClient(server.address(), "job", member, soon);
}

// A connection that is no member's.
class Stranger {
 public:
  explicit Stranger(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Stranger() { close(socket_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  bool connected() const { return connected_; }
  void say(const std::string& words) { ::send(socket_, words.data(), words.size(), MSG_NOSIGNAL); }

  // All that the server says until it closes.
  std::string answer() {
    std::string all;
    char bytes[256];
    for (ssize_t got = 0; (got = ::recv(socket_, bytes, sizeof bytes, 0)) > 0;) {
      all.append(bytes, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  int socket_;
  bool connected_ = false;
};

// A port with nobody behind it, for the moment.
int free_port() { return StoreServer({}, "nobody").address().port; }

// Waits until the store knows of a loss: it is noticed by the server's thread.
std::vector<int> losses(const StoreServer& server, std::size_t count) {
  const auto end = std::chrono::steady_clock::now() + soon;
  while (server.lost_members().size() < count && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  return server.lost_members();
}

}  // namespace

TEST_CASE("store: a value set by one is read by all, also with bytes of any kind") {
  StoreServer server({}, "job");
  StoreClient first = client_of(server, 0);
  StoreClient second = client_of(server, 1);
  const std::string binary("a\0b\xFF", 4);
  first.set("address/0", binary);
  server.set("from the server", "1");
  CHECK(second.get("address/0", milliseconds(0)) == binary);
  CHECK(second.get("from the server", milliseconds(0)) == "1");
  CHECK(server.get("address/0", milliseconds(0)) == binary);
  CHECK_FALSE(second.get("address/1", milliseconds(0)));
  CHECK_FALSE(server.get("address/1", milliseconds(1)));
}

TEST_CASE("store: a get waits for its key, on clients and on the server, and gives up in time") {
  StoreServer server({}, "job");
  StoreClient waiting = client_of(server, 0);
  StoreClient writing = client_of(server, 1);
  auto at_client = std::async(std::launch::async, [&] { return waiting.get("late", soon); });
  auto at_server = std::async(std::launch::async, [&] { return server.get("late", soon); });
  writing.set("late", "but here");
  CHECK(at_client.get() == "but here");
  CHECK(at_server.get() == "but here");
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(waiting.get("never", milliseconds(250)));
  const auto waited = std::chrono::steady_clock::now() - begin;
  CHECK(waited >= milliseconds(249));
  CHECK(waited < soon);
}

TEST_CASE("store: one client's threads do not keep each other out") {
  StoreServer server({}, "job");
  StoreClient shared = client_of(server, 0);
  auto waiting = std::async(std::launch::async, [&] { return shared.get("mine", soon); });
  shared.set("mine", "set by the same client");
  CHECK(waiting.get() == "set by the same client");
}

TEST_CASE("store: keys are written once") {
  StoreServer server({}, "job");
  StoreClient client = client_of(server, 0);
  client.set("key", "value");
  CHECK_NOTHROW(client.set("key", "value"));
  CHECK_THROWS_AS(client.set("key", "other"), ContractError);
  CHECK_THROWS_AS(server.set("key", "other"), ContractError);
  CHECK(client.get("key", milliseconds(0)) == "value");
  CHECK_THROWS_AS(client.set("huge", std::string(frame_bytes_max, 'x')), ContractError);
  const std::string large(value_bytes_max - 5, 'x');
  client.set("large", large);
  CHECK(client.get("large", milliseconds(0)) == large);
}

TEST_CASE("store: another job's token is refused with a sentence") {
  const StoreServer server({}, "job");
  const std::string refusal = text("another job is using port ", server.address().port);
  CHECK_THROWS_WITH(StoreClient(server.address(), "other job", 0, soon), Contains(refusal));
  CHECK_THROWS_AS(StoreClient(server.address(), "", 0, soon), SystemError);
  CHECK(server.lost_members().empty());
}

TEST_CASE("store: a port that is taken is named") {
  const StoreServer server({}, "job");
  const std::string taken = text("port ", server.address().port, " of 127.0.0.1 is taken");
  CHECK_THROWS_WITH(StoreServer(server.address(), "job"), Contains(taken));
  CHECK_THROWS_AS(StoreServer({"no.such.host.invalid", 0}, "job"), SystemError);
}

TEST_CASE("store: a member whose connection ends without goodbye is lost, with goodbye it is not") {
  StoreServer server({}, "job");
  StoreClient observer = client_of(server, 0);
  { const StoreClient killed = client_of(server, 7); }
  CHECK(losses(server, 1) == std::vector<int>{7});
  {
    StoreClient leaving = client_of(server, 3);
    leaving.goodbye();
  }
  { const StoreClient killed = client_of(server, 5); }
  CHECK(losses(server, 2) == std::vector<int>{7, 5});
  CHECK(observer.lost_members() == std::vector<int>{7, 5});
}

TEST_CASE("store: a client that starts first waits for the server") {
  const StoreAddress address{"127.0.0.1", free_port()};
  auto early = std::async(std::launch::async, [&] {
    StoreClient client(address, "job", 0, soon);
    return client.get("welcome", soon);
  });
  StoreServer server(address, "job");
  server.set("welcome", "at last");
  CHECK(early.get() == "at last");
}

TEST_CASE("store: nobody there within the deadline is said with the address") {
  const int port = free_port();
  const std::string nobody = text("no store at 127.0.0.1:", port, " within 100 ms");
  CHECK_THROWS_WITH(StoreClient({"127.0.0.1", port}, "job", 0, milliseconds(100)), nobody);
}

TEST_CASE("store: a server that is gone is an error at once and ever after") {
  auto server = std::make_unique<StoreServer>(StoreAddress{}, "job");
  StoreClient client = client_of(*server, 0);
  auto waiting = std::async(std::launch::async, [&] { return client.get("never", soon * 6); });
  server.reset();
  CHECK_THROWS_WITH(waiting.get(), Contains("is gone"));
  CHECK_THROWS_AS(client.set("a", "b"), SystemError);
}

TEST_CASE("store: strangers are shown the door and disturb nobody") {
  StoreServer server({}, "job");
  StoreClient member = client_of(server, 0);
  const Stranger silent(server.address().port);
  std::string wrong_hello = encoded({FrameKind::hello, 0, "job", "another protocol"});
  std::string impatient = encoded({FrameKind::get, 0, "key", {}});
  std::string broken = encoded({FrameKind::hello, 0, "job", std::string(store_protocol)});
  broken[4] = '\x63';
  std::string overlong = encoded({FrameKind::hello, 0, std::string(hello_bytes_max, 'x'), {}});
  std::string key_beyond = encoded({FrameKind::hello, 0, "job", {}});
  key_beyond[4 + 1 + 8] = '\x7F';
  for (const std::string& words :
       {std::string("GET / HTTP/1.1\r\nHost: here\r\n\r\n"), std::string(64, '\0'),
        std::string(64, '\xFF'), wrong_hello, impatient, broken, overlong, key_beyond}) {
    Stranger stranger(server.address().port);
    REQUIRE(stranger.connected());
    stranger.say(words);
    CHECK(stranger.answer().empty());
  }
  for (int seed = 0; seed < 50; ++seed) {
    Stranger stranger(server.address().port);
    const Bytes noise = pattern(seed, 0, 200);
    stranger.say({noise.begin(), noise.end()});
  }
  member.set("still", "here");
  CHECK(member.get("still", milliseconds(0)) == "here");
  CHECK(server.lost_members().empty());
  CHECK(silent.connected());
}

TEST_CASE("store: a client that meets another program says so") {
  const int port = free_port();
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 1) == 0);
  auto client = std::async(std::launch::async, [&] {
    return outcome_of<bool>([&] {
      StoreClient made({"127.0.0.1", port}, "job", 0, soon);
      return true;
    });
  });
  const int accepted = accept(listener, nullptr, nullptr);
  const std::string words = "HTTP/1.1 400 Bad Request\r\n\r\n";
  ::send(accepted, words.data(), words.size(), MSG_NOSIGNAL);
  CHECK(contains(client.get().error, "another program uses it"));
  close(accepted);
  close(listener);
}

TEST_CASE("store_frame: what is encoded is decoded, and nothing else is") {
  const StoreFrame frame{FrameKind::get, -5, std::string("k\0y", 3), "value"};
  const std::string bytes = encoded(frame);
  CHECK(body_bytes(bytes) == bytes.size() - frame_head_bytes);
  const auto back = decoded(std::string_view(bytes).substr(frame_head_bytes));
  REQUIRE(back);
  CHECK((back->kind == frame.kind && back->number == -5));
  CHECK((back->key == frame.key && back->value == frame.value));
  for (std::size_t length = 0; length < 13 + 3; ++length) {
    CHECK_FALSE(decoded(std::string_view(bytes).substr(frame_head_bytes, length)));
  }
  CHECK(members_of(members_text(std::vector<int>{3, 0, 12})) == std::vector<int>{3, 0, 12});
  CHECK(members_of("").empty());
}

TEST_CASE("store_address: host:port, or what is wrong with it") {
  CHECK(store_address("10.0.0.1:29500").host == "10.0.0.1");
  CHECK(store_address("10.0.0.1:29500").port == 29500);
  for (const char* words :
       {"", "host", "host:", ":1", "host:x", "host:1x", "host:-1", "host:65536"}) {
    CAPTURE(words);
    CHECK_THROWS_AS(store_address(words), ScenarioError);
  }
}

}  // namespace moe::test
