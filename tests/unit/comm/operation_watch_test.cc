// The watch over queued operations, on a wire that is a list of marks: which ends are seen, when
// peers are asked after, and what the words name. No device is needed.

#include "comm/operation_watch.h"

#include <atomic>
#include <limits>

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Clock = std::chrono::steady_clock;

// A queue whose work is done when the test says so, mark by mark or all of it.
class ListedWire final : public WatchedWire {
 public:
  void mark() override {
    ++num_marks_;
    ++num_waiting_;
    while (is_silent_ && !is_cut_) std::this_thread::yield();
    --num_waiting_;
  }
  bool passes_mark() override {
    if (num_unseen_ > 0) {
      --num_unseen_;
      return false;
    }
    if (is_cut_when_asked_) is_cut_ = true;
    if (!is_cut_when_asked_ && num_passed_ >= num_done_) return false;
    ++num_passed_;
    return true;
  }
  void cut() override { is_cut_ = true; }
  void say(const std::string& words) override { said_ = is_cut_ ? "too late" : words; }
  const std::string& said() const { return said_; }  // once check() has thrown

  void finish() { num_done_ = std::numeric_limits<int>::max(); }
  void finish_one() { ++num_done_; }
  // So many questions about marks find nothing done.
  void hide(int num_questions) { num_unseen_ = num_questions; }
  bool is_cut() const override { return is_cut_; }
  int num_marks() const { return num_marks_; }
  // A mark waits until the wire is cut, as one of a driver does that lets nobody in.
  void be_silent(bool is_silent) { is_silent_ = is_silent; }
  bool is_waited_for() const { return num_waiting_ > 0; }
  // Another group cuts what this one stands on while a mark is asked after, which is past then.
  void be_cut_when_asked() { is_cut_when_asked_ = true; }

 private:
  std::atomic<int> num_marks_ = 0;
  std::atomic<int> num_done_ = 0;
  std::atomic<int> num_passed_ = 0;
  std::atomic<int> num_unseen_ = 0;
  std::atomic<int> num_waiting_ = 0;
  std::atomic<bool> is_cut_ = false;
  std::atomic<bool> is_silent_ = false;
  std::atomic<bool> is_cut_when_asked_ = false;
  std::string said_;
};

// Rank 0 of a group of so many, and its peers' places in the store.
struct Watched {
  explicit Watched(int size, WatchSettings settings, Count num_peers_here = 0)
      : server(StoreAddress{}, "test"),
        own(std::make_unique<StoreClient>(address(), "test", 0, s)) {
    std::vector<int> members;
    for (int rank = 0; rank < size; ++rank) members.push_back(rank);
    for (int rank = 1; rank <= num_peers_here; ++rank) {
      peers.push_back(std::make_unique<StoreClient>(address(), "test", rank, s));
    }
    news.emplace(NewsGroup{"world", 0, members}, *own);
    watch.emplace(settings, wire, *news);
  }

  StoreAddress address() const { return server.address(); }

  // The words of the error that check() throws in the end.
  std::string broken() {
    const auto end = Clock::now() + milliseconds(20000);
    while (Clock::now() < end) {
      if (!watch->is_broken() && !wire.is_cut()) {
        std::this_thread::yield();
        continue;
      }
      const auto outcome = outcome_of<bool>([&] {
        watch->check();
        return true;
      });
      if (!outcome.value) return outcome.error;
      std::this_thread::yield();
    }
    return "nothing";
  }

  // What rank 1 leaves in the store.
  void leave(int rank, Count num_collectives, Leaving how) {
    StoreClient client(address(), "test", 100 + rank, s);
    PeerNews({"world", rank, {}}, client).leave(num_collectives, how);
    client.goodbye();
  }

  static constexpr milliseconds s{20000};
  StoreServer server;
  std::unique_ptr<StoreClient> own;
  std::vector<std::unique_ptr<StoreClient>> peers;
  ListedWire wire;
  std::optional<PeerNews> news;
  std::optional<OperationWatch> watch;
};

constexpr WatchSettings patient{
    .deadline = milliseconds(60000), .turn = milliseconds(1), .patience = milliseconds(10)};
constexpr WatchSettings hasty{
    .deadline = milliseconds(100), .turn = milliseconds(1), .patience = milliseconds(10)};

}  // namespace

TEST_CASE("operation watch: what is done in time is no news") {
  Watched one(2, hasty, 1);
  one.wire.finish();
  for (int i = 0; i < 50; ++i) {
    one.watch->enter(Operation::all_gather_v);
    one.watch->leave();
  }
  std::this_thread::sleep_for(milliseconds(150));  // a deadline over: nobody waits for anything
  one.watch->check();
  CHECK_FALSE(one.watch->is_broken());
  CHECK_FALSE(one.wire.is_cut());
  CHECK(one.watch->num_collectives() == 50);
}

TEST_CASE("operation watch: the words for a late peer name rank, operation and deadline") {
  Watched one(2, hasty, 1);
  one.watch->enter(Operation::barrier);
  one.watch->leave();
  const auto begin = Clock::now();
  const std::string words = one.broken();
  CHECK(words == "rank 0 of 2: operation 0 (barrier): peer rank 1 did not answer within 100 ms");
  CHECK(Clock::now() - begin < milliseconds(10000));
  CHECK(one.wire.is_cut());
  CHECK(one.wire.said() == words);
  CHECK(outcome_of<bool>([&] {
          one.watch->enter(Operation::barrier);
          return true;
        }).error == words);
  CHECK(one.watch->num_collectives() == 0);
}

TEST_CASE("operation watch: a call that the rank is still in has its deadline too") {
  Watched one(2, hasty, 1);
  one.watch->enter(Operation::send, 1);
  CHECK(contains(one.broken(), "operation 0 (send): peer rank 1 did not answer within 100 ms"));
  CHECK(one.wire.is_cut());
}

TEST_CASE("operation watch: a device that lets nobody in keeps no peer from its deadline") {
  Watched one(2, hasty, 1);
  one.wire.be_silent(true);
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  CHECK(one.broken() ==
        "rank 0 of 2: operation 0 (all_gather_v): peer rank 1 did not answer within 100 ms");
  CHECK(one.wire.is_cut());
}

TEST_CASE("operation watch: what is done while a device lets nobody in is not late at once") {
  WatchSettings slow = hasty;
  slow.deadline = milliseconds(3000);
  Watched one(2, slow, 1);
  one.watch->enter(Operation::all_gather_v);  // most of its deadline passes before it is queued
  std::this_thread::sleep_for(milliseconds(2000));
  one.wire.be_silent(true);
  one.wire.finish();
  one.watch->leave();
  while (!one.wire.is_waited_for()) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(2000));
  one.wire.be_silent(false);
  std::this_thread::sleep_for(milliseconds(50));
  one.watch->check();
  CHECK_FALSE(one.watch->is_broken());
}

TEST_CASE("operation watch: what a rank waited for while it was marked is no news of the next") {
  Watched one(2, patient, 1);
  one.leave(1, 1, Leaving::failing);  // it has done its part of the first
  one.wire.be_silent(true);
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  while (!one.wire.is_waited_for()) std::this_thread::yield();
  one.watch->check();
  one.watch->enter(Operation::barrier);
  one.watch->leave();
  one.wire.be_silent(false);
  CHECK(contains(one.broken(), "operation 1 (barrier): peer rank 1 has left after 1 collective"));
}

TEST_CASE("operation watch: a queue that a cut has ended has not done its operation") {
  Watched one(2, patient, 1);
  one.wire.be_cut_when_asked();
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  CHECK(contains(one.broken(), "operation 0 (all_gather_v): another group of this rank"));
  CHECK(one.watch->num_collectives() == 0);
}

TEST_CASE("operation watch: the rank goes on while the device is asked, a recording waits for it") {
  Watched one(2, patient, 1);
  one.wire.be_silent(true);
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  while (!one.wire.is_waited_for()) std::this_thread::yield();
  one.watch->enter(Operation::barrier);  // returns, or this test ends by its time
  one.watch->leave();
  std::jthread answer([&] {
    std::this_thread::sleep_for(milliseconds(50));
    one.wire.be_silent(false);
  });
  one.watch->pause();
  CHECK_FALSE(one.wire.is_waited_for());
  one.watch->resume();
  CHECK_FALSE(one.watch->is_broken());
}

TEST_CASE("operation watch: a peer that has left is named long before the deadline") {
  Watched one(3, patient, 2);
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  one.watch->enter(Operation::reduce_scatter_v);
  one.watch->leave();
  one.leave(2, 1, Leaving::failing);
  one.wire.finish();  // as far as the first is concerned, which rank 2 has done
  const auto begin = Clock::now();
  while (one.wire.num_marks() < 1) std::this_thread::yield();
  one.watch->enter(Operation::barrier);
  CHECK(contains(one.broken(),
                 "operation 2 (barrier): peer rank 2 has left after 1 collective "
                 "operations, since it failed"));
  CHECK(Clock::now() - begin < patient.deadline / 2);
}

TEST_CASE("operation watch: of several in one mark the last decides who will never come") {
  Watched one(2, patient, 1);
  one.watch->pause();
  for (int i = 0; i < 2; ++i) {
    one.watch->enter(Operation::barrier);
    one.watch->leave();
  }
  one.leave(1, 1, Leaving::failing);  // it has done its part of the first
  one.watch->resume();
  CHECK(contains(one.broken(), "peer rank 1 has left after 1 collective operations"));
}

TEST_CASE("operation watch: what was waited for is looked after no more") {
  Watched one(2, hasty, 1);
  one.watch->enter(Operation::barrier);
  one.watch->leave();
  one.watch->check();  // the queue is done
  std::this_thread::sleep_for(milliseconds(150));
  CHECK_FALSE(one.watch->is_broken());
}

TEST_CASE("operation watch: a peer that left after the operation has done its part of it") {
  Watched one(2, patient, 1);
  one.leave(1, 1, Leaving::done);
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  std::this_thread::sleep_for(milliseconds(100));  // asked after ten times by now
  CHECK_FALSE(one.watch->is_broken());
  one.watch->enter(Operation::recv, 1);
  one.wire.finish();
  CHECK(contains(one.broken(), "operation 1 (recv): peer rank 1 has left after 1 collective"));
}

TEST_CASE("operation watch: what waited behind an operation has its deadline from that one's end") {
  WatchSettings slow = patient;
  slow.deadline = milliseconds(2000);
  Watched one(2, slow, 1);
  for (int marks = 1; marks <= 2; ++marks) {
    one.watch->enter(Operation::all_gather_v);
    one.watch->leave();
    while (one.wire.num_marks() < marks) std::this_thread::yield();
  }
  std::this_thread::sleep_for(milliseconds(1200));
  one.wire.finish_one();
  std::this_thread::sleep_for(milliseconds(1200));  // beyond its deadline, were it from the start
  CHECK_FALSE(one.watch->is_broken());
  CHECK(contains(one.broken(), "operation 1 (all_gather_v): peer rank 1 did not answer"));
}

TEST_CASE("operation watch: what ends while peers are asked after is done") {
  WatchSettings restless = patient;
  restless.patience = milliseconds(0);
  Watched one(2, restless, 1);
  one.leave(1, 0, Leaving::failing);
  one.wire.hide(1);  // it ends after the first look at it, which asks after peers
  one.wire.finish();
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  std::this_thread::sleep_for(milliseconds(100));
  CHECK_FALSE(one.watch->is_broken());
}

TEST_CASE("operation watch: a message waits for its peer alone, a mark with more for all") {
  Watched one(3, patient, 2);
  one.leave(2, 0, Leaving::done);
  one.watch->enter(Operation::recv, 1);
  one.watch->leave();
  std::this_thread::sleep_for(milliseconds(100));  // rank 2 is asked after ten times, or not at all
  CHECK_FALSE(one.watch->is_broken());
  one.wire.finish_one();
  one.watch->pause();
  one.watch->enter(Operation::recv, 1);
  one.watch->leave();
  one.watch->enter(Operation::barrier);
  one.watch->leave();
  one.watch->resume();
  CHECK(contains(one.broken(), "peer rank 2 has left after 0 collective operations"));
}

TEST_CASE("operation watch: a late message blames its peer, and is no collective") {
  Watched one(3, hasty, 2);
  one.watch->enter(Operation::send, 1);
  one.watch->leave();
  CHECK(one.watch->num_collectives() == 0);
  const std::string words = one.broken();
  CHECK(contains(words, "operation 0 (send): peer rank 1 did not answer"));
  CHECK_FALSE(contains(words, "rank 2"));
}

TEST_CASE("operation watch: a call with a deadline of its own has no other") {
  Watched one(2, hasty, 1);
  one.watch->enter(Operation::split, -1, OperationWatch::LookedAfter::by_rank);
  std::this_thread::sleep_for(milliseconds(300));
  CHECK_FALSE(one.watch->is_broken());
  CHECK_FALSE(one.wire.is_cut());
}

TEST_CASE("operation watch: a peer whose connection ends without a word is gone") {
  Watched one(2, patient, 1);
  one.watch->enter(Operation::all_reduce);
  one.watch->leave();
  one.peers.clear();
  CHECK(contains(one.broken(), "operation 0 (all_reduce): peer rank 1 is gone without a word"));
}

TEST_CASE("operation watch: of several in one mark the words say how many") {
  Watched one(2, hasty, 1);
  one.watch->pause();
  for (int i = 0; i < 3; ++i) {
    one.watch->enter(Operation::all_gather_v);
    one.watch->leave();
  }
  std::this_thread::sleep_for(milliseconds(30));
  CHECK(one.wire.num_marks() == 0);  // nothing is put into a queue that is recording
  one.watch->resume();
  CHECK(contains(one.broken(), "operation 0 (all_gather_v) or one of the 2 queued behind it: "));
}

TEST_CASE("operation watch: what is only recorded is not waited for") {
  Watched one(2, hasty, 1);
  one.watch->pause();
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave(OperationWatch::Queued::recorded);
  one.watch->resume();
  std::this_thread::sleep_for(milliseconds(150));
  one.watch->check();
  CHECK(one.watch->num_collectives() == 1);
}

TEST_CASE("operation watch: what the rank itself sees is thrown with its operation") {
  Watched one(2, patient, 1);
  one.watch->enter(Operation::split, -1, OperationWatch::LookedAfter::by_rank);
  const auto outcome = outcome_of<bool>([&]() -> bool { one.watch->fail("no more memory"); });
  CHECK(outcome.error == "rank 0 of 2: operation 0 (split): no more memory");
  CHECK(one.wire.is_cut());
  CHECK(one.broken() == outcome.error);
}

TEST_CASE("operation watch: a group that is cut with another is broken, its queued work too") {
  Watched one(2, patient, 1);
  one.watch->enter(Operation::all_gather_v);
  one.watch->leave();
  one.wire.cut();
  CHECK(contains(one.broken(), "another group of this rank has failed"));
}

}  // namespace moe::test
