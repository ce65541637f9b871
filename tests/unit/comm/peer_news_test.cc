// How long a rank that leaves waits for its peers: until the last has left, one of them never will,
// or its patience ends.

#include "comm/peer_news.h"

#include <chrono>
#include <thread>

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds long_patience{60000};
constexpr milliseconds soon{20000};

// Rank 0 of three, its peers, and their store.
struct Three {
  Three() : server(std::make_unique<StoreServer>(StoreAddress{}, "test")) {
    for (int rank = 0; rank < 3; ++rank) {
      clients.push_back(std::make_unique<StoreClient>(server->address(), "test", rank, soon));
    }
  }

  PeerNews news(int rank) {
    return PeerNews({"world", rank, {0, 1, 2}}, *clients[static_cast<std::size_t>(rank)]);
  }

  std::unique_ptr<StoreServer> server;
  std::vector<std::unique_ptr<StoreClient>> clients;
};

struct Awaited {
  bool all = false;
  milliseconds took{0};
};

Awaited awaited(const PeerNews& news, milliseconds patience) {
  const auto begin = Clock::now();
  const bool all = news.all_leave(patience);
  return {all, std::chrono::duration_cast<milliseconds>(Clock::now() - begin)};
}

}  // namespace

TEST_CASE("peer news: a rank that leaves waits until the last peer has left") {
  Three three;
  three.news(2).leave(4, Leaving::done);
  std::jthread peer([&] {
    std::this_thread::sleep_for(milliseconds(300));
    three.news(1).leave(4, Leaving::done);
  });
  const Awaited end = awaited(three.news(0), long_patience);
  CHECK(end.all);
  CHECK(end.took >= milliseconds(250));
  CHECK(end.took < soon);
}

TEST_CASE("peer news: nobody waits for a peer that is lost") {
  Three three;
  three.news(2).leave(4, Leaving::done);
  three.clients[1].reset();
  const Awaited end = awaited(three.news(0), long_patience);
  CHECK_FALSE(end.all);
  CHECK(end.took < soon);
}

TEST_CASE("peer news: nobody waits for more once a peer has left failing") {
  for (const int failing : {1, 2}) {
    Three three;
    three.news(failing).leave(4, Leaving::failing);
    const Awaited end = awaited(three.news(0), long_patience);
    CHECK_FALSE(end.all);
    CHECK(end.took < soon);
  }
}

TEST_CASE("peer news: a peer that stays is waited for as long as said") {
  Three three;
  three.news(1).leave(4, Leaving::done);
  const Awaited end = awaited(three.news(0), milliseconds(200));
  CHECK_FALSE(end.all);
  CHECK(end.took >= milliseconds(200));
  CHECK(end.took < soon);
}

TEST_CASE("peer news: without a store nobody is waited for") {
  Three three;
  three.server.reset();
  const Awaited end = awaited(three.news(0), long_patience);
  CHECK_FALSE(end.all);
  CHECK(end.took < soon);
}

TEST_CASE("peer news: who has left has not closed yet") {
  Three three;
  for (const int rank : {1, 2}) three.news(rank).leave(4, Leaving::done);
  CHECK(three.news(0).all_leave(soon));
  three.news(1).close(Leaving::done);
  CHECK_FALSE(three.news(0).all_close(milliseconds(100)));
  three.news(2).close(Leaving::done);
  CHECK(three.news(0).all_close(soon));
}

TEST_CASE("peer news: nobody waits for more once a peer could not close") {
  Three three;
  three.news(2).close(Leaving::failing);
  const auto begin = Clock::now();
  CHECK_FALSE(three.news(0).all_close(long_patience));
  CHECK(Clock::now() - begin < soon);
}

TEST_CASE("peer news: gone are those that left, however, and those that are lost") {
  Three three;
  three.news(1).leave(4, Leaving::failing);
  CHECK_FALSE(three.news(0).all_are_gone(milliseconds(100)));
  three.clients[2].reset();
  CHECK(three.news(0).all_are_gone(soon));
}

}  // namespace moe::test
