// The choice of a router, and the routers: each allocates the routing of one call and fills it
// through the kernels.

#include "backends/routers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

// The kernels' marker of what is taken already is -10000: a lower bias would be chosen twice.
constexpr float bias_min = -9999.0F;

// Where each call's choices come to lie.
class RoutingRoom {
 public:
  RoutingRoom(Kernels& kernels, int top_k, RoutingMemory memory)
      : ids_(memory.topk_ids == nullptr ? kernels.memory() : *memory.topk_ids),
        weights_(memory.topk_weights == nullptr ? kernels.memory() : *memory.topk_weights),
        top_k_(top_k) {}

  RoutingBuffers of(Count tokens) const {
    return {Buffer(ids_, {tokens, top_k_, DType::i32}),
            Buffer(weights_, {tokens, top_k_, DType::f32}), IdSpace::logical};
  }

 private:
  Memory& ids_;
  Memory& weights_;
  int top_k_;
};

Buffer bias_of(const RouterSpec& spec, Memory& memory) {
  if (spec.correction_bias.empty()) return {};
  MOE_CHECK(std::ssize(spec.correction_bias) == spec.num_experts,
            text("a bias of ", spec.correction_bias.size(), " for ", spec.num_experts, " experts"));
  for (const float value : spec.correction_bias) {
    MOE_CHECK(std::isfinite(value) && value > bias_min, text("a correction bias of ", value));
  }
  std::vector<float> host = spec.correction_bias;
  return copy_of({host.data(), 1, spec.num_experts, DType::f32, {}}, memory);
}

class FusedTopkRouter final : public Router {
 public:
  FusedTopkRouter(Kernels& kernels, RoutingRoom room, TopkSettings settings, Buffer bias)
      : kernels_(kernels), room_(room), settings_(settings), bias_(std::move(bias)) {
    settings_.correction_bias = bias_.tensor();
  }

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = room_.of(router_logits.rows);
    kernels_.fused_topk(router_logits, settings_, chosen.view());
    return chosen;
  }

 private:
  Kernels& kernels_;
  RoutingRoom room_;
  TopkSettings settings_;
  Buffer bias_;
};

class GroupedTopkRouter final : public Router {
 public:
  GroupedTopkRouter(Kernels& kernels, RoutingRoom room, GroupedTopkSettings settings, Buffer bias)
      : kernels_(kernels), room_(room), settings_(settings), bias_(std::move(bias)) {
    settings_.topk.correction_bias = bias_.tensor();
  }

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = room_.of(router_logits.rows);
    kernels_.grouped_topk(router_logits, settings_, chosen.view());
    return chosen;
  }

 private:
  Kernels& kernels_;
  RoutingRoom room_;
  GroupedTopkSettings settings_;
  Buffer bias_;
};

class TopkThenScoreRouter final : public Router {
 public:
  TopkThenScoreRouter(Kernels& kernels, RoutingRoom room, ChosenScoreSettings settings)
      : kernels_(kernels), room_(room), settings_(settings) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = room_.of(router_logits.rows);
    kernels_.topk_then_score(router_logits, settings_, chosen.view());
    return chosen;
  }

 private:
  Kernels& kernels_;
  RoutingRoom room_;
  ChosenScoreSettings settings_;
};

class RecordedRouter final : public Router {
 public:
  RecordedRouter(Kernels& kernels, RoutingRoom room) : kernels_(kernels), room_(room) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = room_.of(router_logits.rows);
    kernels_.recorded_routing(router_logits, chosen.view());
    return chosen;
  }

 private:
  Kernels& kernels_;
  RoutingRoom room_;
};

TopkSettings topk_settings(const RouterSpec& spec) {
  return {.scoring = spec.scoring,
          .renormalize = spec.renormalize,
          .routed_scaling_factor = static_cast<float>(spec.routed_scaling_factor),
          .score_rounding = spec.score_rounding};
}

std::unique_ptr<Router> make_fused_topk(Kernels& kernels, const RouterSpec& spec,
                                        TopkSettings settings, RoutingRoom room) {
  if (spec.correction_bias.empty()) settings.routed_scaling_factor = 1.0F;
  return std::make_unique<FusedTopkRouter>(kernels, room, settings,
                                           bias_of(spec, kernels.memory()));
}

std::unique_ptr<Router> make_grouped_topk(Kernels& kernels, const RouterSpec& spec,
                                          RoutingRoom room) {
  TopkSettings settings = topk_settings(spec);
  if (!grouping_is_valid(spec)) {
    settings.scoring = Scoring::softmax;
    return make_fused_topk(kernels, spec, settings, room);
  }
  return std::make_unique<GroupedTopkRouter>(
      kernels, room,
      GroupedTopkSettings{.topk = settings,
                          .num_expert_group = spec.num_expert_group,
                          .topk_group = spec.topk_group,
                          .rules = spec.grouped_rules.value_or(grouped_rules_on_cuda(spec))},
      bias_of(spec, kernels.memory()));
}

std::unique_ptr<Router> make_custom(Kernels& kernels, const RouterSpec& spec, RoutingRoom room) {
  const bool is_softmax = spec.custom == CustomRouting::top_k_then_softmax;
  MOE_CHECK(is_softmax || spec.top_k == 1, text("top-", spec.top_k, " then sigmoid is top-1's"));
  return std::make_unique<TopkThenScoreRouter>(
      kernels, room,
      ChosenScoreSettings{.scoring = is_softmax ? Scoring::softmax : Scoring::sigmoid});
}

}  // namespace

RoutingMethodType routing_method_type(const RouterSpec& spec) {
  const bool is_sigmoid = spec.scoring == Scoring::sigmoid;
  if (!spec.correction_bias.empty()) {
    const bool is_grouped = spec.use_grouped_topk && spec.num_expert_group > 0;
    return is_grouped && is_sigmoid ? RoutingMethodType::deepseek_v3
                                    : RoutingMethodType::unspecified;
  }
  if (is_sigmoid) {
    return spec.top_k == 1 ? RoutingMethodType::llama4 : RoutingMethodType::unspecified;
  }
  return spec.renormalize ? RoutingMethodType::renormalize : RoutingMethodType::softmax_topk;
}

RouterChoice router_choice(const RouterSpec& spec) {
  const bool is_grouped =
      spec.use_grouped_topk && (routing_method_type(spec) != RoutingMethodType::unspecified ||
                                spec.num_expert_group > 1 || spec.topk_group > 1);
  if (is_grouped) return RouterChoice::grouped_topk;
  if (spec.custom != CustomRouting::none) return RouterChoice::custom;
  if (!spec.correction_bias.empty()) return RouterChoice::fused_topk_bias;
  return RouterChoice::fused_topk;
}

bool grouping_is_valid(const RouterSpec& spec) {
  return spec.num_experts > spec.num_expert_group && spec.num_experts % spec.num_expert_group == 0;
}

GroupedTopkRules grouped_rules_on_cuda(const RouterSpec& spec) {
  const bool fits = spec.num_expert_group <= 32 && spec.top_k <= 32;
  return fits && !spec.correction_bias.empty() ? GroupedTopkRules::cuda_op
                                               : GroupedTopkRules::torch;
}

std::unique_ptr<Router> make_router(Kernels& kernels, const RouterSpec& spec,
                                    RoutingMemory memory) {
  const RoutingRoom room(kernels, spec.top_k, memory);
  switch (router_choice(spec)) {
    case RouterChoice::grouped_topk:
      return make_grouped_topk(kernels, spec, room);
    case RouterChoice::custom:
      return make_custom(kernels, spec, room);
    default:
      return make_fused_topk(kernels, spec, topk_settings(spec), room);
  }
}

std::unique_ptr<Router> make_recorded_router(Kernels& kernels, int top_k, RoutingMemory memory) {
  return std::make_unique<RecordedRouter>(kernels, RoutingRoom(kernels, top_k, memory));
}

}  // namespace moe
