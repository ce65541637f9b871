// A rank loads its experts' weights: which ones its slots get, the check that they are those which
// routers will send rows for, and the cut into shards. Called once a layer.

#pragma once

#include <vector>

#include "backends/standard_experts.h"
#include "sim/check_ledger.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// What stays the same for a rank. LIFETIME: the references outlive the call.
struct ExpertLoader {
  const Scenario& scenario;
  const WorldInputs& inputs;
  const std::vector<FaultSpec>& faults;
  const ExpertMap& expert_map;  // of the physical experts
  Placement placement = Placement::linear;
  FusedMoEParallelConfig parallel;
  int world_rank = 0;
  Memory& memory;
};

// Whole experts of the rank, or its shard of all of them.
ExpertWeights loaded_experts(const ExpertLoader& loader, int layer, CheckLedger& ledger);

}  // namespace moe::sim
