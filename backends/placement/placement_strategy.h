// Whether a deployment gets the placement that it asks for (vLLM:
// determine_expert_placement_strategy in fused_moe/layer.py; distribution-layer.md, 13). Pure;
// asked before a layer's expert map is made.

#pragma once

#include <string>

#include "backends/placement/expert_placement.h"

namespace moe {

struct PlacementRequest {
  Placement asked = Placement::linear;
  int num_expert_group = 1;
  int num_redundant_experts = 0;
  bool enable_eplb = false;
  bool use_all2all_kernels = false;
  bool needs_routing_tables = false;  // the backend's capability
};

// warning: why it is not the placement that was asked for; empty where it is.
struct PlacementDecision {
  Placement placement = Placement::linear;
  std::string warning;
};

PlacementDecision determine_expert_placement_strategy(const PlacementRequest& request);

}  // namespace moe
