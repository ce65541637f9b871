// Fused top-k, top-k then score, and the recorded routing: order, ties, NaN rows, bias, scale.
// Expected weights are computed by hand from exponentials of small whole numbers.

#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/chosen_routing.h"

using namespace moe;

namespace {

ChosenRow chosen_by(const std::vector<double>& logits, int top_k, TopkSettings settings,
                    const std::vector<double>& bias = {}) {
  const auto memory = make_host_memory(Poison::on);
  const Buffer bias_row =
      rows_with(*memory, {1, static_cast<Count>(bias.size()), DType::f32}, bias);
  if (!bias.empty()) settings.correction_bias = bias_row.tensor();
  return chosen_row(logits, top_k, DType::f32,
                    [&](Kernels& kernels, const Tensor& row, const Routing& routing) {
                      kernels.fused_topk(row, settings, routing);
                    });
}

ChosenRow scored_after(const std::vector<double>& logits, int top_k, Scoring scoring) {
  return chosen_row(logits, top_k, DType::f32,
                    [&](Kernels& kernels, const Tensor& row, const Routing& routing) {
                      kernels.topk_then_score(row, {.scoring = scoring}, routing);
                    });
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();
using Numbers = std::vector<double>;

}  // namespace

TEST_CASE("fused_topk: best first, weights are the softmax's") {
  const ChosenRow chosen = chosen_by({0, 2, 1, -1}, 2, {.renormalize = false});
  CHECK(chosen.ids == std::vector<double>{1, 2});
  const double sum = 1 + std::exp(2.0) + std::exp(1.0) + std::exp(-1.0);
  CHECK(chosen.weights[0] == Approx(std::exp(2.0) / sum).epsilon(1e-6));
  CHECK(chosen.weights[1] == Approx(std::exp(1.0) / sum).epsilon(1e-6));
}

TEST_CASE("fused_topk: renormalised weights sum to one") {
  const ChosenRow chosen = chosen_by({0, 2, 1, -1}, 2, {.renormalize = true});
  CHECK(chosen.weights[0] == Approx(1 / (1 + std::exp(-1.0))).epsilon(1e-6));
  CHECK(chosen.weights[0] + chosen.weights[1] == Approx(1).epsilon(1e-6));
}

TEST_CASE("fused_topk: ties go to the lower expert") {
  CHECK(chosen_by({1, 3, 3, 3, 1}, 3, {}).ids == std::vector<double>{1, 2, 3});
  CHECK(chosen_by({5, 5, 5, 5}, 4, {}).weights == std::vector<double>{.25, .25, .25, .25});
}

TEST_CASE("fused_topk: all-negative logits are chosen by value, not clamped") {
  CHECK(chosen_by({-90, -70, -80, -100}, 2, {}).ids == std::vector<double>{1, 2});
}

TEST_CASE("fused_topk: a poisoned row chooses the first experts with weight 0") {
  const ChosenRow chosen =
      chosen_by({not_a_number, not_a_number, not_a_number, not_a_number}, 3, {.renormalize = true});
  CHECK(chosen.ids == std::vector<double>{0, 1, 2});
  CHECK(chosen.weights == std::vector<double>{0, 0, 0});
}

TEST_CASE("fused_topk: more choices than experts are refused") {
  CHECK_THROWS_AS(chosen_by({1, 2}, 3, {}), ContractError);
}

TEST_CASE("fused_topk: sigmoid scores each by itself") {
  const ChosenRow plain =
      chosen_by({0, 2, 1, -1}, 2, {.scoring = Scoring::sigmoid, .renormalize = false});
  CHECK(plain.ids == Numbers{1, 2});
  CHECK(plain.weights[0] == Approx(sigmoid(2)).epsilon(1e-6));
  CHECK(plain.weights[1] == Approx(sigmoid(1)).epsilon(1e-6));
  const ChosenRow renormalized =
      chosen_by({0, 2, 1, -1}, 2, {.scoring = Scoring::sigmoid, .renormalize = true});
  CHECK(renormalized.weights[0] == Approx(sigmoid(2) / (sigmoid(2) + sigmoid(1))).epsilon(1e-6));
}

TEST_CASE("fused_topk: the bias decides the choice and stays out of the weight") {
  const ChosenRow chosen = chosen_by(
      {0, 2, 1, -1}, 2, {.scoring = Scoring::sigmoid, .renormalize = false}, {0, 0, 0, 1});
  CHECK(chosen.ids == Numbers{3, 1});
  CHECK(chosen.weights[0] == Approx(sigmoid(-1)).epsilon(1e-6));
}

TEST_CASE("fused_topk: the scaling factor comes after renormalising") {
  const ChosenRow chosen = chosen_by({3, 3, 0}, 2, {.routed_scaling_factor = 2.5F});
  CHECK(chosen.weights == Numbers{1.25, 1.25});
}

TEST_CASE("fused_topk: one score that is not finite counts as 0, the others stay") {
  const ChosenRow one = chosen_by({not_a_number, -3, infinite, -infinite}, 3,
                                  {.scoring = Scoring::sigmoid, .renormalize = false});
  CHECK(one.ids == Numbers{2, 1, 0});
  CHECK(one.weights[0] == 1);
  CHECK(one.weights[2] == 0);
  for (const double poison : {not_a_number, infinite}) {
    const ChosenRow row = chosen_by({1, 2, poison, 3}, 2, {});  // softmax's sum spreads it
    CHECK(row.ids == Numbers{0, 1});
    CHECK(row.weights == Numbers{0, 0});
  }
  CHECK(chosen_by({1, -infinite, 3, 2}, 2, {}).ids == Numbers{2, 3});
}

TEST_CASE("fused_topk: a poisoned row with a bias is chosen by the bias alone") {
  const ChosenRow chosen = chosen_by({not_a_number, not_a_number, not_a_number}, 2, {}, {0, 1, .5});
  CHECK(chosen.ids == Numbers{1, 2});
  CHECK(chosen.weights == Numbers{0, 0});
}

TEST_CASE("fused_topk: scores rounded to bf16 make ties that float32 has not") {
  TopkSettings settings{.scoring = Scoring::sigmoid, .renormalize = false};
  CHECK(chosen_by({3.0, 3.001}, 1, settings).ids == Numbers{1});
  settings.score_rounding = ScoreRounding::bf16;
  const ChosenRow rounded = chosen_by({3.0, 3.001}, 1, settings);
  CHECK(rounded.ids == Numbers{0});
  CHECK(rounded.weights == Numbers{0.953125});  // sigmoid(3) = .95257: bf16 has steps of 1/256
}

TEST_CASE("fused_topk: a bias of another length is refused") {
  CHECK_THROWS_AS(chosen_by({1, 2, 3}, 1, {}, {0, 0}), ContractError);
}

TEST_CASE("topk_then_score: softmax over the chosen, the same as renormalising") {
  const Numbers logits = {0, 2, 1, -1, 2};
  const ChosenRow after = scored_after(logits, 3, Scoring::softmax);
  const ChosenRow before = chosen_by(logits, 3, {.renormalize = true});
  CHECK(after.ids == Numbers{1, 4, 2});
  CHECK(before.ids == after.ids);
  const double sum = 2 + std::exp(-1.0);
  CHECK(after.weights[0] == Approx(1 / sum).epsilon(1e-6));
  CHECK(after.weights[2] == Approx(std::exp(-1.0) / sum).epsilon(1e-6));
}

TEST_CASE("topk_then_score: Llama-4, top-1 on logits that sigmoid cannot tell apart") {
  const ChosenRow chosen = scored_after({30, 40, 35}, 1, Scoring::sigmoid);
  CHECK(chosen.ids == Numbers{1});
  CHECK(chosen.weights == Numbers{1});
  CHECK(chosen_by({30, 40, 35}, 1, {.scoring = Scoring::sigmoid}).ids == Numbers{0});
  CHECK(scored_after({-1, -2}, 1, Scoring::sigmoid).weights[0] ==
        Approx(sigmoid(-1)).epsilon(1e-6));
}

TEST_CASE("topk_then_score: a NaN comes first and its weight is one, as in torch") {
  const ChosenRow chosen = scored_after({1, not_a_number, 3, not_a_number}, 1, Scoring::sigmoid);
  CHECK(chosen.ids == Numbers{1});
  CHECK(std::isnan(chosen.weights[0]));
}

TEST_CASE("recorded_routing: ids less their slot, then weights") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {2, 4, DType::f32}, {3, -2, .5, 2, 0, 6, 1, 1.5});
  const RoutingBuffers routing{Buffer(*memory, {2, 2, DType::i32}),
                               Buffer(*memory, {2, 2, DType::f32})};
  kernels->recorded_routing(rows.tensor(), routing.view());
  CHECK(values_of(routing.topk_ids.tensor()) == std::vector<double>{3, -1, 0, 7});
  CHECK(values_of(routing.topk_weights.tensor()) == std::vector<double>{.5, 2, 1, 1.5});
}
