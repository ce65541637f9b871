// Routers: how router logits become topk_ids and topk_weights on a rank (vLLM: fused_moe/router/*).
// The arithmetic is the kernels'; here it is chosen, given its settings and its bias.

#pragma once

#include <optional>
#include <vector>

#include "backends/moe_layer.h"
#include "kernels/kernels.h"

namespace moe {

// What a model brings instead of vLLM's routers (vLLM: custom_routing_function).
enum class CustomRouting { none, top_1_then_sigmoid, top_k_then_softmax };

// What a model says of its router, with vLLM's words.
struct RouterSpec {
  int num_experts = 0;
  int top_k = 0;
  Scoring scoring = Scoring::softmax;
  bool renormalize = true;
  bool use_grouped_topk = false;
  int num_expert_group = 1;
  int topk_group = 1;
  std::vector<float> correction_bias = {};  // of each expert; empty: none
  double routed_scaling_factor = 1.0;
  CustomRouting custom = CustomRouting::none;
  ScoreRounding score_rounding = ScoreRounding::as_rules_say;
  std::optional<GroupedTopkRules> grouped_rules = {};  // none: as vLLM takes them on CUDA
};

// experts-and-oracles.md, 1.3. Never persisted: upstream's numbers for them changed.
enum class RoutingMethodType {
  softmax_topk,  // Default: softmax over all, then top-k
  renormalize,   // as if top-k, then softmax over the k
  deepseek_v3,   // sigmoid, bias, groups
  llama4,        // top-1, then sigmoid
  unspecified,
};
RoutingMethodType routing_method_type(const RouterSpec& spec);

// Which of vLLM's routers a spec gets (router_factory.py; experts-and-oracles.md, 3.1): the first
// that fits. The simulator and zero experts, which come before these, are not here.
enum class RouterChoice { grouped_topk, custom, fused_topk_bias, fused_topk };
RouterChoice router_choice(const RouterSpec& spec);

// Whether vLLM's grouped router can group. Where not, it falls back to the fused ones with softmax,
// whatever the scoring, and without a bias it drops the scaling factor (3.3, trap 13).
bool grouping_is_valid(const RouterSpec& spec);

// The CUDA op where a bias is present and neither groups nor top_k are above 32, else torch.
GroupedTopkRules grouped_rules_on_cuda(const RouterSpec& spec);

// Where a router's choices lie; null: the kernels' memory.
struct RoutingMemory {
  Memory* topk_ids = nullptr;
  Memory* topk_weights = nullptr;
};

// The router of that spec. fused_topk ignores the scaling factor: whoever asked for it owes it on
// the output (trap 14). REQUIRES a bias of num_experts finite values above -9999.
std::unique_ptr<Router> make_router(Kernels& kernels, const RouterSpec& spec,
                                    RoutingMemory memory = {});

// A recorded routing travels in the place of logits: rows [tokens, 2 * top_k] f32, ids less their
// slot, then weights
// (vLLM: a custom routing function).
std::unique_ptr<Router> make_recorded_router(Kernels& kernels, int top_k,
                                             RoutingMemory memory = {});

}  // namespace moe
