// vLLM's rules in its order, then what this program has no way to do.
// Messages name the value, and what would be right.

#include "sim/eplb_rules.h"

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

[[noreturn]] void refuse(const Scenario& scenario, const std::string& key, const std::string& why) {
  throw ScenarioError(text(scenario.place_of(key), ": ", key, ": ", why));
}

}  // namespace

void check_eplb(const Scenario& scenario) {
  const WorldSpec& world = scenario.world;
  const ModelSpec& model = scenario.model;
  if (!scenario.eplb) {
    if (model.num_redundant_experts == 0) return;
    refuse(scenario, "model.redundant_experts",
           text(model.num_redundant_experts, " need a load balancer: write eplb: {}"));
  }
  if (!world.expert_parallel) {
    refuse(scenario, "eplb", "balances experts that are dealt out: it needs world.ep true");
  }
  if (world.expert_ranks() == 1) {
    refuse(scenario, "eplb", "one rank has nobody to share with: it needs dp x pcp x tp above 1");
  }
  if (model.num_physical_experts() % world.expert_ranks() != 0) {
    refuse(scenario, scenario.says("model.redundant_experts") ? "model.redundant_experts" : "eplb",
           text(model.num_experts, " experts and ", model.num_redundant_experts,
                " redundant ones do not divide by the ", world.expert_ranks(), " ranks"));
  }
  if (model.num_physical_experts() > experts_max) {
    refuse(scenario, "model.redundant_experts",
           text(model.num_physical_experts(), " slots, the most are ", experts_max));
  }
}

int first_step_of_last_maps(const Scenario& scenario, int num_steps) {
  if (!scenario.eplb) return 0;
  RearrangementClock clock(scenario.eplb->settings);
  int first = 0;
  for (int step = 0; step + 1 < num_steps; ++step) {
    if (clock.end_step()) first = step + 1;
  }
  return first;
}

EplbRefusal why_without_eplb(const Scenario& scenario, const RunLine& line) {
  if (!scenario.eplb) return {};
  const Platform platform = platform_named(line.platform);
  if (platform != Platform::cuda && platform != Platform::rocm) {
    return {"platform", text("EPLB is for platforms cuda and rocm, not ", line.platform)};
  }
  if (line.selection == Selection::monolithic) {
    return {"selection", "monolithic experts select without replicas: EPLB needs modular"};
  }
  return {};
}

}  // namespace moe::sim
