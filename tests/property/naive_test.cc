// naive is all-gather: in every layout of up to 8 ranks each healthy broadcast form gives the
// oracle's bytes; the shipped form does so exactly where one rank holds a DP rank's rows. Ranks are
// threads on the local communicator.

#include "kernels/base/text.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;

namespace {

Scenario scenario_in(const WorldSpec& world) {
  Scenario scenario;
  scenario.name = "naive world";
  scenario.world = world;
  scenario.model = {
      .num_experts = 5, .top_k = 2, .hidden_size = 7, .intermediate_size = 840, .num_layers = 2};
  scenario.routing = SkewedRouting{0.5};
  scenario.steps = {{}, {}};
  for (int rank = 0; rank < world.dp; ++rank) {
    scenario.steps[0].push_back(3 + rank);
    scenario.steps[1].push_back(rank % 2 == 0 ? 0 : 5);
  }
  return scenario;
}

Outcome outcome_of(const Scenario& scenario, const std::string& profile, DispatchSite site) {
  RunLine line;
  line.backend = "naive";
  line.profile = profile;
  line.communicator = "local";
  line.dispatch_site = site;
  return judged_line(scenario, line);
}

std::vector<WorldSpec> worlds() {
  std::vector<WorldSpec> all;
  for (int dp = 1; dp <= 8; ++dp) {
    for (int tp = 1; dp * tp <= 8; ++tp) {
      for (const bool ep : {true, false}) {
        all.push_back({.dp = dp, .tp = tp, .expert_parallel = ep});
      }
      if (dp > 1 && tp > 1) all.push_back({.dp = dp, .tp = tp, .sequence_parallel = true});
    }
  }
  return all;
}

std::string words_of(const WorldSpec& world) {
  return text("dp ", world.dp, " tp ", world.tp, " ep ", world.expert_parallel, " sp ",
              world.sequence_parallel);
}

// What went wrong with the healthy form, empty if nothing did.
std::string trouble(const WorldSpec& world, const std::string& profile, DispatchSite site) {
  Scenario scenario = scenario_in(world);
  scenario.defects.emplace();
  const Outcome outcome = outcome_of(scenario, profile, site);
  std::string found = reason_of(outcome.verdict);
  for (const auto& [check, said] : outcome.checks) found += said == "ok" ? "" : said;
  if (outcome.resolved_backend != "naive") found += "not naive";
  return found.empty() ? "" : text(words_of(world), " ", profile, ": ", found);
}

}  // namespace

TEST_CASE("I14: naive: both healthy forms give the oracle's bytes in every layout") {
  std::vector<std::string> troubles;
  for (const WorldSpec& world : worlds()) {
    for (const auto site : {DispatchSite::kernel, DispatchSite::runner}) {
      if (!world.sequence_parallel) troubles.push_back(trouble(world, "v0.9", site));
      troubles.push_back(trouble(world, "pre-33724", site));
    }
  }
  std::erase(troubles, "");
  CHECK(troubles == std::vector<std::string>{});
}

TEST_CASE("I14: naive: the shipped form is wrong exactly where TP ranks hold the same rows") {
  for (const WorldSpec& world : worlds()) {
    const bool is_right = world.dp == 1 || world.tp == 1 || world.sequence_parallel;
    INFO(words_of(world));
    Scenario scenario = scenario_in(world);
    CHECK(word_of(outcome_of(scenario, "pre-33724", DispatchSite::kernel).verdict) ==
          (is_right ? "passed" : "failed"));
    scenario.end = ExpectedDifference{"the defect"};
    const Outcome outcome = outcome_of(scenario, "pre-33724", DispatchSite::kernel);
    CHECK(word_of(outcome.verdict) == (is_right ? "failed" : "passed"));
    CHECK(outcome.judge == Judge::expectation);
  }
}
