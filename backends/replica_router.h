// A router whose choices are replicas: after top-k the logical ids become slots of all ranks, so
// that dispatch and experts see physical experts only, and each choice of a token is counted (vLLM:
// fused_moe/router/base_router.py; experts-and-oracles.md, 3.5). Made where EPLB is on.

#pragma once

#include <functional>
#include <memory>

#include "backends/moe_layer.h"
#include "backends/placement/expert_load.h"
#include "backends/placement/layer_placement.h"

namespace moe {

// Whether a row of the router's own is counted: one of a token, in a step that is recorded.
using CountsRow = std::function<bool(Count row)>;

// Asked once for the rows of each call.
using CountedRows = std::function<CountsRow()>;

// LIFETIME: placement and load outlive the router.
struct ReplicaRouting {
  const LayerPlacement& placement;
  ReplicaChoice choice = ReplicaChoice::by_position;
  LoadWindow& load;
  int layer = 0;  // of load
  CountedRows counted_rows;
};

std::unique_ptr<Router> with_replicas(std::unique_ptr<Router> inner, ReplicaRouting routing,
                                      Memory& memory);

}  // namespace moe
