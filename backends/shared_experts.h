// Shared experts: every token's, beside the routed ones, on the original hidden states (vLLM:
// fused_moe/runner/shared_experts.py; distribution-layer.md, 11.2). One MLP, or this rank's TP
// shard of it. Not the layer's: its runner calls them and adds what they give.

#pragma once

#include "backends/standard_experts.h"

namespace moe {

class SharedExperts {
 public:
  virtual ~SharedExperts() = default;

  // RETURNS [tokens, hidden_size]: complete, or where the weights are a shard this rank's part of a
  // sum over TP.
  virtual Buffer apply(const Tensor& hidden_states) = 0;
};

// weights: of one expert (num_local_experts 1), whole or a shard (tensor_shard.h).
std::unique_ptr<SharedExperts> make_shared_experts(Kernels& kernels, ExpertWeights weights);

}  // namespace moe
