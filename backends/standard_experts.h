// Experts for the standard format: group the dispatched rows by local expert, compute, weight and
// sum this rank's choices (vLLM: TritonExperts' permute, experts, unpermute). No rank but this one
// exists.

#pragma once

#include <variant>
#include <vector>

#include "backends/moe_layer.h"
#include "kernels/kernels.h"

namespace moe {

// Experts that flip signs by column: exact in every order of additions (numerics.md, 1).
struct ProbeWeights {
  Buffer signs;  // [num_local_experts, hidden_size] i8
};

// Non-gated experts, w2 · relu²(w13 · x), through a library's products.
struct Relu2Weights {
  Buffer w13;  // [num_local_experts * intermediate_size, hidden_size]
  Buffer w2;   // [num_local_experts * hidden_size, intermediate_size]
};

using ExpertWeights = std::variant<ProbeWeights, Relu2Weights>;

struct ExpertsConfig {
  Kernels& kernels;
  std::vector<int> expert_map;  // of each global expert its slot on this rank, -1 elsewhere
  int num_local_experts = 0;
};

std::unique_ptr<Experts> make_standard_experts(const ExpertsConfig& config, ExpertWeights weights);

}  // namespace moe
