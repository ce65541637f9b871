// Routers on an OpenCL device: the settings as routers.cl takes them, and room for what a token
// keeps. Rules and their sources stand at the doors in kernels.h.

#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {
namespace {

// GroupRules of routers.cl, member by member.
struct GroupRules {
  std::int32_t scoring;
  std::int32_t is_cuda_op;
  std::int32_t score_type;
  std::int32_t bias_type;
  std::int32_t groups;
  std::int32_t topk_group;
  std::int32_t renormalize;
  float factor;
};

GroupRules rules_of(const GroupedTopkSettings& settings, const Tensor& logits, Count top_k) {
  const GroupedTopkTypes types = types_of(settings, logits, top_k);
  return {static_cast<int>(settings.topk.scoring),
          int{settings.rules == GroupedTopkRules::cuda_op},
          static_cast<int>(types.score),
          static_cast<int>(types.bias),
          settings.num_expert_group,
          settings.topk_group,
          int{settings.topk.renormalize},
          settings.topk.routed_scaling_factor};
}

int word_of(DType dtype) { return static_cast<int>(dtype); }

}  // namespace

void fused_topk(XpuMemory& memory, const Tensor& router_logits, const TopkSettings& settings,
                const Routing& chosen) {
  const Scratch rows(memory, {router_logits.rows, 2 * router_logits.columns, DType::f32});
  memory.run({"moe_fused_topk", router_logits.rows}, router_logits, word_of(router_logits.dtype),
             router_logits.columns, static_cast<int>(settings.scoring),
             int{settings.score_rounding == ScoreRounding::bf16}, int{settings.renormalize},
             settings.routed_scaling_factor, settings.correction_bias, rows.tensor(),
             chosen.topk_ids, chosen.topk_weights, chosen.topk_ids.columns);
}

void topk_then_score(XpuMemory& memory, const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen) {
  const Scratch rows(memory, {router_logits.rows, 2 * router_logits.columns, DType::f32});
  memory.run({"moe_topk_then_score", router_logits.rows}, router_logits,
             word_of(router_logits.dtype), router_logits.columns,
             static_cast<int>(settings.scoring), rows.tensor(), chosen.topk_ids,
             chosen.topk_weights, chosen.topk_ids.columns);
}

void grouped_topk(XpuMemory& memory, const Tensor& router_logits,
                  const GroupedTopkSettings& settings, const Routing& chosen) {
  const Count kept = 3 * router_logits.columns + 2 * Count{settings.num_expert_group};
  const Scratch rows(memory, {router_logits.rows, kept, DType::f32});
  memory.run({"moe_grouped_topk", router_logits.rows}, router_logits, word_of(router_logits.dtype),
             router_logits.columns, rules_of(settings, router_logits, chosen.topk_ids.columns),
             settings.topk.correction_bias, rows.tensor(), chosen.topk_ids, chosen.topk_weights,
             chosen.topk_ids.columns);
}

void recorded_routing(XpuMemory& memory, const Tensor& recorded, const Routing& chosen) {
  const Count top_k = chosen.topk_ids.columns;
  memory.run({"moe_recorded_routing", chosen.topk_ids.rows * top_k}, recorded, top_k,
             chosen.topk_ids, chosen.topk_weights);
}

}  // namespace moe::xpu
