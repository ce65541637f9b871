// Where the experts of a scenario live with a backend: the placement that it gets, and the map that
// layers, checks and explanations read.

#pragma once

#include "backends/capabilities.h"
#include "backends/placement/placement_strategy.h"
#include "sim/scenario.h"

namespace moe::sim {

PlacementDecision placement_in(const Scenario& scenario, const Capabilities& capabilities);

// Of the physical experts: the model's own, and redundant ones after them.
ExpertMap expert_map_in(const Scenario& scenario, const Capabilities& capabilities, int num_ranks);

}  // namespace moe::sim
