// Experts whose weights may change hands between steps: what computes is made anew of the weights
// in force whenever a rearrangement has been committed. Made where EPLB is on.

#pragma once

#include <functional>
#include <memory>

#include "backends/moe_layer.h"
#include "backends/placement/layer_placement.h"

namespace moe {

using ExpertsMaker = std::function<std::unique_ptr<Experts>(ExpertWeights weights)>;

// The maker gets a copy of the weights and may put them into any form. LIFETIME: placement outlives
// the experts.
std::unique_ptr<Experts> make_placed_experts(const LayerPlacement& placement, ExpertsMaker make,
                                             Memory& memory);

}  // namespace moe
