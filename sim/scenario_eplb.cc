// The section eplb of a scenario file, with vLLM's words (EPLBConfig;
// experts-and-oracles.md, 12.1). What the world must be like for it is eplb_rules.cc.

#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

constexpr std::int64_t steps_max = 1'000'000'000;

}  // namespace

void read_eplb(const YamlNode& node, Scenario& scenario) {
  const ScenarioMap map(node, "eplb", "eplb", scenario);
  EplbSpec spec;
  spec.settings.window_size =
      static_cast<int>(map.integer("window_size", {1, steps_max}, spec.settings.window_size));
  spec.settings.step_interval =
      static_cast<int>(map.integer("step_interval", {1, steps_max}, spec.settings.step_interval));
  spec.num_nodes = static_cast<int>(map.integer("nodes", {1, ranks_max}, spec.num_nodes));
  map.word("policy", "default");
  scenario.eplb = spec;
}

}  // namespace moe::sim
