// The weights of made-up experts: of a rank's routed ones and of the shared one, from mix alone
// (numerics.md, 1 and 2). golden/ makes the same on its own. Called by WorldInputs.

#pragma once

#include <span>

#include "backends/standard_experts.h"
#include "sim/scenario.h"

namespace moe::sim {

// One layer whose experts are wanted.
struct MadeLayer {
  const ModelSpec& model;
  LayerSpec layer;
  std::uint64_t seed = 1;
  int number = 0;  // the trace's own: experts count over layers
};

// experts: global ids, in the order of their slots.
ExpertWeights routed_experts(const MadeLayer& layer, std::span<const int> experts, Memory& memory);

// All shared experts of the layer as one expert of num_shared_experts times the intermediate size.
ExpertWeights shared_expert(const MadeLayer& layer, Memory& memory);

}  // namespace moe::sim
