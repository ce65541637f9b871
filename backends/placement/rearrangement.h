// A rearrangement of one layer while serving (vLLM: rearrange in distributed/eplb/eplb_state.py,
// rearrange_expert_weights_inplace; experts-and-oracles.md, 12): loads become maps, weights move
// between the ranks, and all ranks take the result over or none does. Called between steps, by all
// ranks of the EPLB group, which carries nothing else (distribution-layer.md, T15).

#pragma once

#include <span>
#include <vector>

#include "backends/placement/eplb_policy.h"
#include "backends/placement/expert_load.h"
#include "backends/placement/layer_placement.h"
#include "comm/communicator.h"

namespace moe {

// The ranks' loads added up, [layer][physical expert]. Collective; exact up to 2^53.
std::vector<std::vector<double>> loads_of_group(const LayerLoads& own, Communicator& group);

// The maps that the policy makes of the loads of a layer's physical experts; an expert that stays
// on its rank keeps its slot.
ReplicaMaps planned_maps(const ReplicaMaps& before, std::span<const double> loads,
                         const BalancedWorld& world);

// Moves the weights, compares the checksum of each slot with what its expert had before, and
// commits where every rank finds its slots right. RETURNS the ranks that do not: where there are
// any, everybody keeps what it had. Collective.
std::vector<int> rearrange(LayerPlacement& placement, const ReplicaMaps& planned,
                           Communicator& group);

}  // namespace moe
