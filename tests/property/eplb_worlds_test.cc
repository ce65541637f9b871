// Experts that move while serving, on every layout of ranks: outputs stay the oracle's, MAP and OBS
// are silent, and the plans are not empty ones, since a run that never applies them is told from
// one that does.

#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;

namespace {

struct Layout {
  WorldSpec world;
  std::string backend = "allgather_reducescatter";
  DispatchSite site = DispatchSite::kernel;
};

std::vector<Layout> layouts() {
  return {{{.dp = 2}},
          {{.dp = 4}, "skeleton"},
          {{.tp = 2}, "no_ep"},
          {{.dp = 2, .tp = 2}},
          {{.dp = 2, .tp = 2}, "allgather_reducescatter", DispatchSite::runner},
          {{.dp = 2, .tp = 2, .sequence_parallel = true}},
          {{.dp = 2, .tp = 2, .sequence_parallel = true},
           "allgather_reducescatter",
           DispatchSite::runner},
          {{.tp = 2, .pcp = 2}},
          {{.dp = 2, .tp = 1, .pp = 2}}};
}

// Five steps of uneven ranks, one of them empty.
Scenario balanced(const WorldSpec& world, std::uint64_t seed) {
  Scenario scenario;
  scenario.name = "experts that move";
  scenario.seed = seed;
  scenario.routing_seed = seed;
  scenario.world = world;
  const int ranks = world.expert_ranks();
  scenario.model.num_experts = 2 * ranks + static_cast<int>(seed % 2) * ranks / 2;
  scenario.model.num_redundant_experts = 4 * ranks - scenario.model.num_experts;
  scenario.model.top_k = 1 + static_cast<int>(seed % 3);
  scenario.model.hidden_size = 24;
  scenario.model.intermediate_size = 8;
  scenario.model.num_layers = 2;
  scenario.model.kernel = seed % 2 == 0 ? ExpertKernel::probe : ExpertKernel::exact_gemm;
  scenario.routing = SkewedRouting{2.0};
  scenario.eplb = EplbSpec{{.window_size = 2, .step_interval = 2}, 1};
  for (const Count tokens : {7, 3, 0, 6, 5}) {
    std::vector<Count> step;
    for (int rank = 0; rank < world.dp; ++rank) step.push_back(tokens == 0 ? 0 : tokens + rank);
    scenario.steps.push_back(step);
  }
  return scenario;
}

Outcome outcome_of(const Layout& layout, std::uint64_t seed, const std::string& profile,
                   const std::vector<FaultSpec>& faults) {
  const LoadedScenario loaded(balanced(layout.world, seed));
  const RunLine line{.backend = layout.backend,
                     .communicator = "local",
                     .profile = profile,
                     .dispatch_site = layout.site};
  return judged_line(loaded, line, faults);
}

}  // namespace

TEST_CASE("eplb worlds: outputs stay the oracle's while experts move, on every layout") {
  for (const Layout& layout : layouts()) {
    for (const std::uint64_t seed : {1, 2, 3, 4}) {
      for (const std::string profile : {"post-40412", "late-2026"}) {
        const Outcome outcome = outcome_of(layout, seed, profile, {});
        INFO(layout.backend << " dp " << layout.world.dp << " tp " << layout.world.tp << " seed "
                            << seed << ": " << reason_of(outcome.verdict));
        CHECK(word_of(outcome.verdict) == "passed");
        CHECK(outcome.checks.at("MAP") == "ok");
        CHECK(outcome.checks.at("OBS") == "ok");
      }
    }
  }
}

TEST_CASE("eplb worlds: where no plan takes effect OBS says so, in every one of these worlds") {
  for (const Layout& layout : layouts()) {
    for (const std::uint64_t seed : {1, 2, 3, 4}) {
      const Outcome outcome = outcome_of(layout, seed, "post-40412", {{"MF-47", {}}});
      INFO(layout.backend << " dp " << layout.world.dp << " tp " << layout.world.tp << " seed "
                          << seed);
      CHECK(outcome.checks.at("OBS") != "ok");
      CHECK(outcome.checks.at("MAP") == "ok");
      CHECK(outcome.mismatches == 0);
    }
  }
}
