// Rank processes of which one reports and the other never does: whoever started them waits for it
// as long as the deadline and a little more, says which, and leaves no process behind.

#include <atomic>
#include <chrono>
#include <cstdlib>

#include "sim/bench.h"
#include "sim/rank_worlds.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::sim;

namespace {

using std::chrono::milliseconds;

constexpr milliseconds soon{30000};

}  // namespace

TEST_CASE("silent rank: a run ends with its name when another is done") {
  const std::atomic<bool> stop = false;
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<RankReport> reports =
      run_processes({}, {MOE_SILENT_RANK, 2, milliseconds(100), stop, milliseconds(1200)});
  CHECK(std::chrono::steady_clock::now() - begin < soon);
  REQUIRE(reports.size() == 2);
  CHECK(reports[0].failure.kind == FailureKind::none);
  CHECK(reports[1].rank == 1);
  CHECK(reports[1].failure.kind == FailureKind::system);
  CHECK(test::contains(reports[1].failure.message,
                       "did not report within 5100 ms after another rank had, and was killed"));
}

TEST_CASE("silent rank: a run ends when ranks have given up and do not stop") {
  const std::atomic<bool> stop = false;
  const auto begin = std::chrono::steady_clock::now();
  setenv("MOE_GIVES_UP", "1", 1);
  const std::vector<RankReport> reports =
      run_processes({}, {MOE_SILENT_RANK, 2, milliseconds(60000), stop, milliseconds(1200)});
  unsetenv("MOE_GIVES_UP");
  CHECK(std::chrono::steady_clock::now() - begin < soon);
  REQUIRE(reports.size() == 2);
  for (const RankReport& report : reports) {
    CHECK(report.failure.kind == FailureKind::system);
    CHECK(test::contains(report.failure.message,
                         "did not stop after the ranks had given up (rank 0 gave up)"));
  }
}

TEST_CASE("silent rank: a bench ends with its name when another is done") {
  const std::atomic<bool> stop = false;
  BenchSettings settings;
  settings.shape = {"tiny", 16, 8, 4, 2};
  settings.deadline_ms = 100;
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = test::outcome_of<bool>(
      [&] { return run_bench_world(settings, MOE_SILENT_RANK, stop).empty(); });
  CHECK(std::chrono::steady_clock::now() - begin < soon);
  CHECK(outcome.error == "bench, rank 1: rank 1 said nothing any more, and was killed");
}
