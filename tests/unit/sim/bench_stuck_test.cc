// A bench whose bare calls wait in vain, or fail: its process is told to end, with words, before
// anything is left that would wait again. Ranks are threads; the end is written down here.

#include <atomic>
#include <mutex>

#include "comm/forwarding_communicator.h"
#include "sim/bench.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::sim;

namespace {

enum class Bare { waits, fails };

// Does so at its first gather, once it has moved some.
class LostBare final : public ForwardingCommunicator {
 public:
  LostBare(std::unique_ptr<Communicator> inner, Bare how, std::atomic<bool>& is_over)
      : ForwardingCommunicator(std::move(inner)), how_(how), is_over_(is_over) {}

 private:
  void do_all_gather_v(Tensors, RowCounts, Tensors) override {
    while (how_ == Bare::waits && !is_over_) std::this_thread::yield();
    throw SystemError("a bare call failed");
  }

  Bare how_;
  std::atomic<bool>& is_over_;
};

// What each rank's process would have said at its end.
std::vector<std::string> last_words(Bare how, int deadline_ms = 100, std::vector<int> lost = {}) {
  BenchSettings settings;
  settings.shape = {"tiny", 16, 8, 4, 2};
  settings.num_tokens = 2;
  settings.of = BenchOf::moves;
  settings.communicator = "local";
  settings.iterations = 3;
  settings.deadline_ms = deadline_ms;
  test::World world({test::Wire::local, 2});
  test::World bare_world({test::Wire::local, 2});
  std::vector<std::string> words(2);
  std::mutex mutex;
  std::atomic<bool> is_over = false;
  const auto outcomes = test::run_ranks(2, [&](int rank) {
    test::Endpoint own = world.endpoint(rank);
    test::Endpoint bare = bare_world.endpoint(rank);
    BenchWires wires{std::move(own.communicator)};
    wires.bare = std::make_unique<LostBare>(std::move(bare.communicator), how, is_over);
    wires.lost = [&lost] { return lost; };
    wires.end_process = [&, rank](const std::string& said) {
      const std::lock_guard lock(mutex);  // the rank's watch and its thread may both be here
      std::string& last = words[static_cast<std::size_t>(rank)];
      if (last.empty()) last = said;
      is_over = true;
    };
    return run_bench_rank(settings, std::move(wires)).rank;
  });
  for (const auto& outcome : outcomes) CHECK_FALSE(outcome.value);
  return words;
}

}  // namespace

TEST_CASE("bench: a bare call that waits in vain ends the process after the deadline") {
  const std::vector<std::string> words = last_words(Bare::waits);
  const auto due = [](int rank) {
    return text("rank ", rank, " of 2: no call, bare or of allgather_reducescatter, has ended ",
                "within 100 ms");
  };
  // The other may hear of the first one's end before its own turn.
  CHECK((words[0] == due(0) || words[1] == due(1)));
}

TEST_CASE("bench: a bare call whose peer is gone ends the process long before the deadline") {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<std::string> words = last_words(Bare::waits, 60000, {1});
  CHECK(words[0] ==
        "rank 0 of 2: a call, bare or of allgather_reducescatter, waits: rank 1 is gone without a "
        "word");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("bench: a bare call that fails ends the process with its words") {
  for (const std::string& words : last_words(Bare::fails)) CHECK(words == "a bare call failed");
}
