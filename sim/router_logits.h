// RouterLogits: recorded router logits and what their router chose (moe-router-logits/1,
// formats.md, 2), checked whole. For replaying the choice itself.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

struct RouterLogits {
  std::string path;
  std::string model;
  std::string note;
  int layer = 0;
  int num_experts = 0;
  int top_k = 0;
  std::string scoring;
  bool renormalize = false;
  int num_expert_groups = 1;
  int topk_group = 1;
  double routed_scaling_factor = 1.0;  // already in topk_weights
  Count num_tokens = 0;
  std::vector<float> router_logits;            // [num_tokens, num_experts]
  std::vector<std::int32_t> topk_ids;          // [num_tokens, top_k]
  std::vector<float> topk_weights;             // [num_tokens, top_k]
  std::vector<float> e_score_correction_bias;  // [num_experts]; empty where scoring is softmax
};

// Throws ScenarioError with the file's name and the reason; trusts no length before it has been
// compared with the file's size.
RouterLogits read_router_logits(const std::string& path);

}  // namespace moe::sim
