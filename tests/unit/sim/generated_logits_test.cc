// Made-up logits: the values that golden_router_test.py pins, and the plain choice held against the
// layer's own routers over many tokens.

#include "sim/generated_logits.h"

#include <cmath>
#include <numeric>

#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;

namespace {

Scenario scenario_with(LogitsRouting routing, ModelSpec model) {
  Scenario scenario;
  scenario.routing = routing;
  scenario.routing_seed = 7;
  scenario.model = model;
  return scenario;
}

std::vector<int> chosen_by_kernels(Kernels& kernels, const Scenario& scenario,
                                   std::vector<float> logits) {
  const RoutingBuffers routing =
      make_router(kernels, router_spec(scenario, 1))
          ->select_experts({logits.data(), 1, std::ssize(logits), DType::f32, {}});
  const auto ids = elements_of<std::int32_t>(routing.topk_ids.tensor());
  return {ids.begin(), ids.end()};
}

}  // namespace

TEST_CASE("generated logits: the values of the Python oracle") {
  Scenario scenario = scenario_with({.spread = 4.0, .shift = -0.5}, {.num_experts = 5, .top_k = 3});
  using Floats = std::vector<float>;
  CHECK(generated_logits(scenario, 1, 0) == Floats{0.4375F, -3.0625F, 1.6875F, 1.0625F, -1.5625F});
  CHECK(generated_logits(scenario, 1, 2) == Floats{1.1875F, -0.9375F, -1.9375F, -0.4375F, -2.75F});
  scenario.routing = LogitsRouting{.spread = 4.0, .shift = -0.5, .ties = 0.6, .nan = 0.3};
  CHECK(generated_logits(scenario, 1, 0) == Floats{0.5F, -3.5F, 1.5F, 1.5F, -1.5F});
  for (const float logit : generated_logits(scenario, 1, 5)) CHECK(std::isnan(logit));
  scenario.model.correction_bias = true;
  CHECK(router_spec(scenario, 1).correction_bias ==
        Floats{4 / 64.0F, -7 / 64.0F, 9 / 64.0F, 14 / 64.0F, 14 / 64.0F});
}

namespace {

std::vector<ModelSpec> router_models() {
  return {
      {.num_experts = 16, .top_k = 4},
      {.num_experts = 10, .top_k = 3, .renormalize = false},
      {.num_experts = 16, .top_k = 1, .scoring = Scoring::sigmoid, .renormalize = false},
      {.num_experts = 16, .top_k = 4, .scoring = Scoring::sigmoid, .correction_bias = true},
      {.num_experts = 24, .top_k = 4, .num_expert_groups = 4, .topk_group = 2},
      {.num_experts = 32,
       .top_k = 4,
       .scoring = Scoring::sigmoid,
       .num_expert_groups = 4,
       .topk_group = 2,
       .correction_bias = true},
      {.num_experts = 8,
       .top_k = 2,
       .scoring = Scoring::sigmoid,
       .num_expert_groups = 3,
       .topk_group = 2,
       .correction_bias = true},
  };
}

}  // namespace

TEST_CASE("generated logits: the plain choice and the layer's routers agree") {
  const LogitsRouting mixed{.spread = 4.0, .ties = 0.3, .nan = 0.1};
  const std::vector<ModelSpec> models = router_models();
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  for (std::size_t i = 0; i < models.size(); ++i) {
    const Scenario scenario = scenario_with(mixed, models[i]);
    int nearly_tied = 0;
    for (Count token = 0; token < 400; ++token) {
      CAPTURE(i, token);
      std::vector<int> plain;
      try {
        plain = plainly_chosen(scenario, 1, token);
      } catch (const ScenarioError&) {
        ++nearly_tied;
        continue;
      }
      CHECK(plain == chosen_by_kernels(*kernels, scenario, generated_logits(scenario, 1, token)));
    }
    CHECK(nearly_tied <= 4);
  }
}

TEST_CASE("generated logits: rows of zeros choose by the bias, as the layer's routers choose") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  int num_biased = 0;
  for (const ModelSpec& model : router_models()) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      Scenario scenario = scenario_with({.spread = 4.0, .shift = -0.5}, model);
      scenario.routing_seed = seed;
      CAPTURE(model.num_experts, model.num_expert_groups, seed);
      const std::vector<int> chosen = chosen_by_zeros(scenario, 1);
      std::vector<int> first(chosen.size());
      std::iota(first.begin(), first.end(), 0);
      CHECK((chosen == first || model.correction_bias));
      num_biased += chosen == first ? 0 : 1;
      const std::vector<float> zeros(static_cast<std::size_t>(model.num_experts));
      CHECK(chosen == chosen_by_kernels(*kernels, scenario, zeros));
    }
  }
  CHECK(num_biased > 100);
}

TEST_CASE("generated logits: groups of zeros that tie in double are refused where float rounds") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  ModelSpec model{.num_experts = 24,
                  .top_k = 2,
                  .num_expert_groups = 8,
                  .topk_group = 2,
                  .correction_bias = true};
  const std::vector<float> zeros(24);
  for (const auto scoring : {Scoring::softmax, Scoring::sigmoid}) {
    model.scoring = scoring;
    int num_refused = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
      Scenario scenario = scenario_with({.spread = 4.0}, model);
      scenario.routing_seed = seed;
      CAPTURE(seed);
      try {
        const std::vector<int> chosen = chosen_by_zeros(scenario, 1);
        CHECK(chosen == chosen_by_kernels(*kernels, scenario, zeros));
      } catch (const ScenarioError&) {
        ++num_refused;
      }
    }
    CHECK((num_refused > 0) == (scoring == Scoring::softmax));  // of sigmoid a half, exact
    CHECK(num_refused < 50);
  }
}

TEST_CASE("generated logits: sigmoid, top-1 and nothing else is Llama-4's") {
  const ModelSpec llama{
      .num_experts = 4, .top_k = 1, .scoring = Scoring::sigmoid, .renormalize = false};
  const auto custom = [](ModelSpec model) {
    return router_spec(scenario_with({}, model), 0).custom;
  };
  CHECK(custom(llama) == CustomRouting::top_1_then_sigmoid);
  ModelSpec other = llama;
  other.renormalize = true;
  CHECK(custom(other) == CustomRouting::none);
  other = llama;
  other.correction_bias = true;
  CHECK(custom(other) == CustomRouting::none);
}
