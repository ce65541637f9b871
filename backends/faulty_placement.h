// Decorators that spoil placements, for seeded faults (fault-catalogue.md, F5 and F15): maps that
// break the rule, commits that get lost or are overwritten, replicas picked rank by rank. Made by
// the program when a run asks for a fault.

#pragma once

#include <memory>

#include "backends/moe_layer.h"
#include "backends/placement/expert_placement.h"
#include "backends/placement/layer_placement.h"

namespace moe {

// MF-17: linear as vLLM's docstring says, the last ranks have the experts that are left over.
ExpertMap map_with_remainder_last(int num_experts, int num_ranks);

// MF-46, MF-47: a commit changes nothing (vllm#32418, vllm-ascend#4417).
std::unique_ptr<LayerPlacement> with_commit_lost(std::unique_ptr<LayerPlacement> inner);

// MF-45: both layers' weights pass through one buffer, and the later one's are in it before the
// earlier one's were copied out (vllm#32881). LIFETIME: earlier outlives the placement.
std::unique_ptr<LayerPlacement> with_buffer_overwritten(std::unique_ptr<LayerPlacement> inner,
                                                        LayerPlacement& earlier, Memory& memory);

// MF-64: the replica depends on the rank that picks, "the nearest one" (sglang#32962).
std::unique_ptr<Router> with_pick_by_rank(std::unique_ptr<Router> inner,
                                          const LayerPlacement& placement, int rank,
                                          Memory& memory);

}  // namespace moe
