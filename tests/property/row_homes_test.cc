// Whole runs over a communicator that has places for rows: what the default backend's calls move
// lies there, and the judge agrees as ever. Calls of NCCL's from windows are fast for these alone.

#include <map>
#include <mutex>
#include <set>

#include "kernels/base/text.h"
#include "sim/rank_worlds.h"
#include "sim/registry.h"
#include "tests/catch.h"
#include "tests/unit/comm/placed_communicator.h"

using namespace moe;
using namespace moe::sim;

namespace {

// What ranks noted of their calls, since a maker is a plain function.
struct Noted {
  std::mutex mutex;
  std::map<int, std::vector<std::string>> of_rank;
} noted;

std::unique_ptr<Communicator> make_placed(const Meeting& meeting, int rank, Memory& memory) {
  const std::lock_guard lock(noted.mutex);
  return std::make_unique<test::PlacedCommunicator>(meeting.group->communicator(rank, memory),
                                                    noted.of_rank[rank]);
}

// The calls of every rank, each once, and what went wrong.
struct Seen {
  std::set<std::string> calls;
  std::string trouble;
};

Seen seen_in(const Scenario& scenario, const RunLine& line) {
  static const std::atomic<bool> never_stop{false};
  static const std::vector<FaultSpec> no_faults;
  noted.of_rank.clear();
  const WorldInputs inputs(scenario);
  const RankJob job{scenario, no_faults, inputs, nullptr, *backend_named(line.backend).backend,
                    line,     never_stop};
  Seen seen;
  for (const RankReport& report : run_threads(job, {.name = "placed", .make = make_placed})) {
    seen.trouble += report.failure.message;
    if (report.mismatches > 0) seen.trouble += text(report.mismatches, " elements differ");
    if (report.rows == 0) seen.trouble += "nothing was judged";
  }
  for (const auto& [rank, calls] : noted.of_rank) seen.calls.insert(calls.begin(), calls.end());
  return seen;
}

Scenario even_world() {
  Scenario scenario;
  scenario.name = "even world";
  scenario.world.dp = 2;
  scenario.model = {.num_experts = 6, .top_k = 2, .hidden_size = 24, .intermediate_size = 16};
  scenario.routing = SkewedRouting{0.5};
  scenario.steps = {{4, 4}, {1, 1}, {3, 5}};
  return scenario;
}

RunLine line_of(const std::string& backend) {
  RunLine line;
  line.backend = backend;
  line.communicator = "local";
  return line;
}

}  // namespace

TEST_CASE("row homes: what a layer's calls gather and scatter lies at its place") {
  const Seen seen = seen_in(even_world(), line_of("allgather_reducescatter"));
  CHECK(seen.trouble == "");
  // Hidden states, weights and ids; the tags are the checks' own, and so is the exchange.
  CHECK(seen.calls == std::set<std::string>{"asks", "exchange",
                                            "gather in in in elsewhere -> in in in in",
                                            "scatter in -> in"});
}

TEST_CASE("row homes: dispatch by the runner and experts that select have places, too") {
  RunLine by_runner = line_of("allgather_reducescatter");
  by_runner.dispatch_site = DispatchSite::runner;
  const Seen in_line = seen_in(even_world(), by_runner);
  CHECK(in_line.trouble == "");
  CHECK(in_line.calls.contains("scatter in -> in"));
  RunLine late = line_of("allgather_reducescatter");
  late.selection = Selection::monolithic;
  const Seen selected_late = seen_in(even_world(), late);
  CHECK(selected_late.trouble == "");
  CHECK(selected_late.calls == std::set<std::string>{"asks", "exchange",
                                                     "gather in elsewhere elsewhere -> in in in",
                                                     "scatter in -> in"});
}

TEST_CASE("row homes: backends with other moves ask for no place and run as ever") {
  const std::map<std::string, std::string> moves = {
      {"naive", "broadcast"}, {"deepep_high_throughput", "exchange"}, {"nixl_ep", "exchange"}};
  for (const auto& [backend, move] : moves) {
    CAPTURE(backend);
    RunLine line = line_of(backend);
    if (backend == "naive") line.profile = "v0.9";
    const Seen seen = seen_in(even_world(), line);
    CHECK(seen.trouble == "");
    CHECK(seen.calls.contains(move));
    CHECK_FALSE(seen.calls.contains("asks"));
  }
}
