// How long a rank that leaves waits for its peers: until the last has left or is lost, or its
// patience ends, and not at all where the store is gone.

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

milliseconds awaited(const PeerNews& news, milliseconds patience) {
  const auto begin = Clock::now();
  news.await_leaving(patience);
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
}

}  // namespace

TEST_CASE("peer news: a rank that leaves waits until the last peer has left") {
  Three three;
  three.news(2).leave(4, Leaving::failing);
  std::jthread peer([&] {
    std::this_thread::sleep_for(milliseconds(300));
    three.news(1).leave(4, Leaving::done);
  });
  const milliseconds took = awaited(three.news(0), long_patience);
  CHECK(took >= milliseconds(250));
  CHECK(took < soon);
}

TEST_CASE("peer news: nobody waits for a peer that is lost") {
  Three three;
  three.news(2).leave(4, Leaving::done);
  three.clients[1].reset();
  CHECK(awaited(three.news(0), long_patience) < soon);
}

TEST_CASE("peer news: a peer that stays is waited for as long as said") {
  Three three;
  three.news(1).leave(4, Leaving::done);
  const milliseconds took = awaited(three.news(0), milliseconds(200));
  CHECK(took >= milliseconds(200));
  CHECK(took < soon);
}

TEST_CASE("peer news: without a store nobody is waited for") {
  Three three;
  three.server.reset();
  CHECK(awaited(three.news(0), long_patience) < soon);
}

}  // namespace moe::test
