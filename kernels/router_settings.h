// Settings of the routing operators of kernels.h: which rule makes ids and weights out of logits.
// The rules and their sources are experts-and-oracles.md, 3; which router uses which is backends/.

#pragma once

#include "kernels/base/tensor.h"

namespace moe {

enum class Scoring { softmax, sigmoid };

// A score's precision before bias and choice. as_rules_say: float32 where the rules compute in it,
// else the logits' type. bf16: rounded to bf16 whatever the logits' type, as a model does that
// evaluates its gate in bf16 and widens the logits afterwards (numerics.md, 7).
enum class ScoreRounding { as_rules_say, bf16 };

struct TopkSettings {
  Scoring scoring = Scoring::softmax;
  bool renormalize = true;
  float routed_scaling_factor = 1.0F;  // multiplies the weights at the end
  ScoreRounding score_rounding = ScoreRounding::as_rules_say;
  Tensor correction_bias = {};  // [1, num_experts] f32, for the choice only; columns 0: none
};

// vLLM has two grouped top-k, which differ where numbers are rounded or not finite (3.3).
//   torch    scores in the logits' type; weights w / Σw; a NaN is the largest and reaches the
//            weights.
//   cuda_op  scores in float32 where the small kernel reaches, else score and bias in the logits'
//            type; weights w · factor / (Σw + 1e-20); what is not finite is not chosen, and a row
//            with too few finite groups gets ids 0..k-1 with weights 1/k.
enum class GroupedTopkRules { torch, cuda_op };

// REQUIRES num_experts to be a multiple of num_expert_group, two experts a group or more (one may
// be had with one group), and top_k <= topk_group * (num_experts / num_expert_group).
struct GroupedTopkSettings {
  TopkSettings topk;
  int num_expert_group = 1;
  int topk_group = 1;
  GroupedTopkRules rules = GroupedTopkRules::cuda_op;
};

// In which types the rules compute for top_k of num_experts logits of a type: scores, and the bias
// that is added to them.
struct GroupedTopkTypes {
  DType score = DType::f32;
  DType bias = DType::f32;
};
GroupedTopkTypes types_of(const GroupedTopkSettings& settings, const Tensor& router_logits,
                          Count top_k);

// Scores of the chosen logits alone. softmax: over the k chosen (gpt-oss, Granite: Renormalize);
// sigmoid: each by itself (Llama-4, top-1). As torch does: a NaN is the largest and its weight NaN.
struct ChosenScoreSettings {
  Scoring scoring = Scoring::softmax;
};

}  // namespace moe
