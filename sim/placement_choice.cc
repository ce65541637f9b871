// A scenario's words as a placement request.
// Called by whoever builds, runs or explains a line.

#include "sim/placement_choice.h"

namespace moe::sim {

PlacementDecision placement_in(const Scenario& scenario, const Capabilities& capabilities) {
  const WorldSpec& world = scenario.world;
  const bool has_ep = world.expert_parallel && world.expert_ranks() > 1;
  if (!has_ep) return {};
  return determine_expert_placement_strategy(
      {.asked = scenario.model.placement,
       .num_expert_group = scenario.model.num_expert_groups,
       .num_redundant_experts = scenario.model.num_redundant_experts,
       .enable_eplb = scenario.eplb.has_value(),
       .use_all2all_kernels = world.dp > 1 || world.pcp > 1,
       .needs_routing_tables = capabilities.needs_routing_tables});
}

ExpertMap expert_map_in(const Scenario& scenario, const Capabilities& capabilities, int num_ranks) {
  return determine_expert_map(scenario.model.num_physical_experts(), num_ranks,
                              placement_in(scenario, capabilities).placement);
}

}  // namespace moe::sim
