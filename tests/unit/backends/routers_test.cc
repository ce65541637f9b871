// Which router a model gets, and who applies the scaling factor (experts-and-oracles.md, 1.3, 3.1,
// 3.3 and traps 13, 14).

#include "backends/routers.h"

#include <cmath>

#include "kernels/base/bits.h"
#include "tests/catch.h"

using namespace moe;

namespace {

const RouterSpec softmax_model = {.num_experts = 4, .top_k = 2};
const RouterSpec deepseek = {.num_experts = 4,
                             .top_k = 2,
                             .scoring = Scoring::sigmoid,
                             .use_grouped_topk = true,
                             .num_expert_group = 2,
                             .topk_group = 1,
                             .correction_bias = {0, 0, 0, 0},
                             .routed_scaling_factor = 2.5};

struct ChosenRow {
  std::vector<int> ids;
  std::vector<float> weights;
};

ChosenRow chosen_by(const RouterSpec& spec, std::vector<float> logits) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const RoutingBuffers routing =
      make_router(*kernels, spec)
          ->select_experts({logits.data(), 1, std::ssize(logits), DType::f32, {}});
  const auto ids = elements_of<std::int32_t>(routing.topk_ids.tensor());
  const auto weights = elements_of<float>(routing.topk_weights.tensor());
  return {{ids.begin(), ids.end()}, {weights.begin(), weights.end()}};
}

RouterSpec changed(RouterSpec spec, void (*change)(RouterSpec&)) {
  change(spec);
  return spec;
}

}  // namespace

TEST_CASE("routers: the routing method follows scoring, top_k, groups and bias") {
  CHECK(routing_method_type(softmax_model) == RoutingMethodType::renormalize);
  CHECK(routing_method_type(deepseek) == RoutingMethodType::deepseek_v3);
  const auto method = [](RouterSpec spec, void (*change)(RouterSpec&)) {
    return routing_method_type(changed(std::move(spec), change));
  };
  CHECK(method(softmax_model, [](RouterSpec& s) { s.renormalize = false; }) ==
        RoutingMethodType::softmax_topk);
  CHECK(method(softmax_model, [](RouterSpec& s) { s.scoring = Scoring::sigmoid; }) ==
        RoutingMethodType::unspecified);
  CHECK(method(softmax_model, [](RouterSpec& s) {
          s.scoring = Scoring::sigmoid;
          s.top_k = 1;
        }) == RoutingMethodType::llama4);
  CHECK(method(deepseek, [](RouterSpec& s) { s.scoring = Scoring::softmax; }) ==
        RoutingMethodType::unspecified);
  CHECK(method(deepseek, [](RouterSpec& s) { s.use_grouped_topk = false; }) ==
        RoutingMethodType::unspecified);
}

TEST_CASE("routers: the first that fits") {
  CHECK(router_choice(softmax_model) == RouterChoice::fused_topk);
  CHECK(router_choice(deepseek) == RouterChoice::grouped_topk);
  const auto choice = [](RouterSpec spec, void (*change)(RouterSpec&)) {
    return router_choice(changed(std::move(spec), change));
  };
  CHECK(choice(deepseek, [](RouterSpec& s) { s.use_grouped_topk = false; }) ==
        RouterChoice::fused_topk_bias);
  // Grouped was asked for, but one group, a bias and softmax are no method: falls through.
  CHECK(choice(deepseek, [](RouterSpec& s) {
          s.scoring = Scoring::softmax;
          s.num_expert_group = 1;
        }) == RouterChoice::fused_topk_bias);
  CHECK(choice(deepseek, [](RouterSpec& s) { s.num_expert_group = 1; }) ==
        RouterChoice::grouped_topk);
  // A custom function comes after groups and before a bias.
  CHECK(choice(deepseek, [](RouterSpec& s) { s.custom = CustomRouting::top_k_then_softmax; }) ==
        RouterChoice::grouped_topk);
  CHECK(choice(deepseek, [](RouterSpec& s) {
          s.custom = CustomRouting::top_k_then_softmax;
          s.use_grouped_topk = false;
        }) == RouterChoice::custom);
}

TEST_CASE("routers: the grouped rules are the op's where a bias is and sizes fit") {
  CHECK(grouped_rules_on_cuda(deepseek) == GroupedTopkRules::cuda_op);
  const auto rules = [](void (*change)(RouterSpec&)) {
    return grouped_rules_on_cuda(changed(deepseek, change));
  };
  CHECK(rules([](RouterSpec& s) { s.correction_bias.clear(); }) == GroupedTopkRules::torch);
  CHECK(rules([](RouterSpec& s) { s.num_expert_group = 33; }) == GroupedTopkRules::torch);
  CHECK(rules([](RouterSpec& s) { s.top_k = 33; }) == GroupedTopkRules::torch);
}

TEST_CASE("routers: grouped by default, as told otherwise: they part on a poisoned row") {
  const std::vector<float> poisoned(4, std::nanf(""));
  CHECK(chosen_by(deepseek, poisoned).weights == std::vector<float>{.5F, .5F});
  const RouterSpec torch =
      changed(deepseek, [](RouterSpec& s) { s.grouped_rules = GroupedTopkRules::torch; });
  CHECK(std::isnan(chosen_by(torch, poisoned).weights[0]));
}

TEST_CASE("routers: who applies the scaling factor") {
  const std::vector<float> logits = {1, 1, 0, 0};
  CHECK(chosen_by(deepseek, logits).weights == std::vector<float>{1.25F, 1.25F});
  const auto weights = [&](RouterSpec spec, void (*change)(RouterSpec&)) {
    return chosen_by(changed(std::move(spec), change), logits).weights;
  };
  CHECK(weights(deepseek, [](RouterSpec& s) { s.use_grouped_topk = false; }) ==
        std::vector<float>{1.25F, 1.25F});
  CHECK(weights(softmax_model, [](RouterSpec& s) { s.routed_scaling_factor = 2.5; }) ==
        std::vector<float>{.5F, .5F});
}

TEST_CASE("routers: groups that do not divide: softmax, and without a bias no factor") {
  // Weights that are not renormalised tell softmax from sigmoid.
  RouterSpec broken = deepseek;
  broken.num_expert_group = 3;
  broken.renormalize = false;
  const std::vector<float> logits = {1, 1, 0, 0};
  const double softmax = std::exp(1.0) / (2 * std::exp(1.0) + 2);
  CHECK(!grouping_is_valid(broken));
  CHECK(chosen_by(broken, logits).weights[0] == Approx(2.5 * softmax).epsilon(1e-6));
  broken.correction_bias.clear();
  CHECK(chosen_by(broken, logits).weights[0] == Approx(softmax).epsilon(1e-6));
  broken.num_expert_group = 4;  // as many as experts
  CHECK(!grouping_is_valid(broken));
  CHECK(chosen_by(broken, logits).weights[0] == Approx(softmax).epsilon(1e-6));
  broken.num_expert_group = 2;  // valid: sigmoid, and the factor
  CHECK(grouping_is_valid(broken));
  CHECK(chosen_by(broken, logits).weights[0] == Approx(2.5 / (1 + std::exp(-1.0))).epsilon(1e-6));
}

TEST_CASE("routers: custom functions") {
  RouterSpec llama = {.num_experts = 3, .top_k = 1, .scoring = Scoring::sigmoid};
  llama.renormalize = false;
  llama.custom = CustomRouting::top_1_then_sigmoid;
  const ChosenRow one = chosen_by(llama, {30, 40, 35});
  CHECK(one.ids == std::vector<int>{1});
  CHECK(one.weights == std::vector<float>{1});
  RouterSpec oss = {.num_experts = 3, .top_k = 2};
  oss.custom = CustomRouting::top_k_then_softmax;
  CHECK(chosen_by(oss, {1, 2, 2}).weights == std::vector<float>{.5F, .5F});
  llama.top_k = 2;
  CHECK_THROWS_AS(chosen_by(llama, {1, 2, 3}), ContractError);
}

TEST_CASE("routers: a bias that cannot be is refused") {
  for (const float value : {std::nanf(""), -10000.0F}) {
    RouterSpec spec = deepseek;
    spec.correction_bias[2] = value;
    CHECK_THROWS_AS(chosen_by(spec, {0, 0, 0, 0}), ContractError);
  }
  RouterSpec spec = deepseek;
  spec.correction_bias.pop_back();
  CHECK_THROWS_AS(chosen_by(spec, {0, 0, 0, 0}), ContractError);
}
