// What host and device must decide alike before they choose.
// The choosing itself is each device's own.

#include "kernels/router_settings.h"

namespace moe {
namespace {

// Where the CUDA op's small kernel reaches, which computes in float whatever the logits are.
bool is_small(const GroupedTopkSettings& settings, Count num_experts, Count top_k) {
  const int groups = settings.num_expert_group;
  if (groups == 1) return num_experts <= 512 && (top_k <= 8 || top_k == 22);
  const Count each = num_experts / groups;
  return num_experts <= 256 && each <= 32 && each * settings.topk_group <= 128 && top_k <= 8 &&
         settings.topk_group <= 4;
}

}  // namespace

GroupedTopkTypes types_of(const GroupedTopkSettings& settings, const Tensor& router_logits,
                          Count top_k) {
  const bool is_cuda_op = settings.rules == GroupedTopkRules::cuda_op;
  const bool in_float = is_cuda_op && is_small(settings, router_logits.columns, top_k);
  // The op takes softmax from torch, which rounds to the logits' type for any kernel.
  const bool rounds = !in_float || settings.topk.scoring == Scoring::softmax;
  GroupedTopkTypes types{.score = rounds ? router_logits.dtype : DType::f32,
                         .bias = is_cuda_op && !in_float ? router_logits.dtype : DType::f32};
  if (settings.topk.score_rounding == ScoreRounding::bf16) types.score = DType::bf16;
  return types;
}

}  // namespace moe
