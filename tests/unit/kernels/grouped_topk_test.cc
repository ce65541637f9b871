// Grouped top-k: the golden vector of experts-and-oracles.md, 18, and where vLLM's two rules part:
// rounding, what is not finite, the divisor. Literals are the specification's or by hand.

#include <cmath>
#include <limits>

#include "tests/catch.h"
#include "tests/unit/kernels/chosen_routing.h"

using namespace moe;

namespace {

using Numbers = std::vector<double>;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

struct Row {
  Numbers logits;
  Numbers bias = {};
  int top_k = 2;
  DType dtype = DType::f32;
};

ChosenRow chosen_by(const Row& row, GroupedTopkSettings settings) {
  const auto memory = make_host_memory(Poison::on);
  const Buffer bias =
      rows_with(*memory, {1, static_cast<Count>(row.bias.size()), DType::f32}, row.bias);
  if (!row.bias.empty()) settings.topk.correction_bias = bias.tensor();
  return chosen_row(row.logits, row.top_k, row.dtype,
                    [&](Kernels& kernels, const Tensor& logits, const Routing& routing) {
                      kernels.grouped_topk(logits, settings, routing);
                    });
}

GroupedTopkSettings four_groups(GroupedTopkRules rules) {
  return {.topk = {.scoring = Scoring::sigmoid, .routed_scaling_factor = 2.5F},
          .num_expert_group = 4,
          .topk_group = 2,
          .rules = rules};
}

const Row golden = {
    .logits = {1, -1, .5, .5, 2, -2, 0, 1.5}, .bias = {0, 0, .30, 0, -.20, 0, .25, 0}, .top_k = 3};

}  // namespace

TEST_CASE("grouped_topk: the golden vector, by both rules") {
  for (const GroupedTopkRules rules : {GroupedTopkRules::torch, GroupedTopkRules::cuda_op}) {
    const ChosenRow chosen = chosen_by(golden, four_groups(rules));
    CHECK(chosen.ids == Numbers{2, 7, 6});
    const Numbers weights = {.802124, 1.053557, .644319};
    for (std::size_t k = 0; k < 3; ++k) {
      CHECK(chosen.weights[k] == Approx(weights[k]).margin(1e-6));
    }
  }
}

TEST_CASE("grouped_topk: without a bias a group is as good as its best expert") {
  // Two middling experts (group 0) lose to one good one (group 1); with a bias of zeros they win.
  const Row row = {.logits = {1, 1, 1.25, -9}, .top_k = 1};
  GroupedTopkSettings settings{.topk = {.scoring = Scoring::sigmoid}, .num_expert_group = 2};
  CHECK(chosen_by(row, settings).ids == Numbers{2});
  CHECK(chosen_by({row.logits, {0, 0, 0, 0}, 1}, settings).ids == Numbers{0});
}

TEST_CASE("grouped_topk: softmax over all experts, weights as they are without renormalising") {
  const Row row = {.logits = {0, 2, 1, 1}};
  const GroupedTopkSettings settings{.topk = {.renormalize = false, .routed_scaling_factor = 2.0F},
                                     .num_expert_group = 2,
                                     .rules = GroupedTopkRules::torch};
  const ChosenRow chosen = chosen_by(row, settings);
  CHECK(chosen.ids == Numbers{1, 0});
  const double sum = 1 + std::exp(2.0) + 2 * std::exp(1.0);
  CHECK(chosen.weights[0] == Approx(2 * std::exp(2.0) / sum).epsilon(1e-6));
  CHECK(chosen.weights[1] == Approx(2 / sum).epsilon(1e-6));
}

TEST_CASE("grouped_topk: equal groups and equal experts: the lower one") {
  for (const GroupedTopkRules rules : {GroupedTopkRules::torch, GroupedTopkRules::cuda_op}) {
    GroupedTopkSettings settings = four_groups(rules);
    settings.topk_group = 1;
    CHECK(chosen_by({.logits = Numbers(8, 1.0), .bias = Numbers(8, .5)}, settings).ids ==
          Numbers{0, 1});
  }
}

TEST_CASE("grouped_topk: a poisoned row") {
  const Row row = {.logits = Numbers(8, not_a_number), .bias = golden.bias, .top_k = 4};
  const ChosenRow op = chosen_by(row, four_groups(GroupedTopkRules::cuda_op));
  CHECK(op.ids == Numbers{0, 1, 2, 3});
  CHECK(op.weights == Numbers{.25, .25, .25, .25});  // without the factor
  const ChosenRow torch = chosen_by(row, four_groups(GroupedTopkRules::torch));
  CHECK(torch.ids == Numbers{0, 1, 2, 3});
  CHECK(std::isnan(torch.weights[0]));
}

TEST_CASE("grouped_topk: one NaN is left out by the op and comes first in torch") {
  Row row = golden;
  row.logits[7] = not_a_number;  // group 3 is then not finite: groups 1 and 0 are kept
  CHECK(chosen_by(row, four_groups(GroupedTopkRules::cuda_op)).ids == Numbers{2, 0, 3});
  const ChosenRow torch = chosen_by(row, four_groups(GroupedTopkRules::torch));
  CHECK(torch.ids[0] == 7);
  CHECK(std::isnan(torch.weights[1]));  // by the sum
}

TEST_CASE("grouped_topk: the op with fewer finite groups than it keeps") {
  Row row = golden;
  for (const std::size_t expert : {1, 2, 5}) row.logits[expert] = -infinite;  // a score of 0
  CHECK(chosen_by(row, four_groups(GroupedTopkRules::cuda_op)).ids == Numbers{7, 6, 3});
  for (const std::size_t expert : {1, 2, 5}) row.logits[expert] = not_a_number;
  const ChosenRow chosen = chosen_by(row, four_groups(GroupedTopkRules::cuda_op));
  CHECK(chosen.ids == Numbers{0, 1, 2});
  CHECK(chosen.weights[0] == Approx(1.0 / 3));
}

TEST_CASE("grouped_topk: bf16 logits are scored in bf16 by torch, in float by the op") {
  // sigmoid(3) and sigmoid(3.015625) are one bf16 value.
  const Row row = {
      .logits = {3, 3.015625, 0, 0}, .bias = {0, 0, 0, 0}, .top_k = 1, .dtype = DType::bf16};
  GroupedTopkSettings settings{.topk = {.scoring = Scoring::sigmoid}, .num_expert_group = 2};
  CHECK(chosen_by(row, settings).ids == Numbers{1});
  settings.rules = GroupedTopkRules::torch;
  CHECK(chosen_by(row, settings).ids == Numbers{0});
  settings.rules = GroupedTopkRules::cuda_op;
  settings.topk.score_rounding = ScoreRounding::bf16;
  CHECK(chosen_by(row, settings).ids == Numbers{0});
}

TEST_CASE(
    "grouped_topk: beyond the small kernel the op rounds score and bias to the logits' type") {
  // 34 experts a group are more than the small kernel's 32.
  Row row = {.logits = Numbers(68, -4), .bias = Numbers(68, 0.0), .top_k = 1, .dtype = DType::bf16};
  row.bias[1] = 1.0;
  row.bias[2] = 1.001;  // bf16: 1
  const GroupedTopkSettings large{.topk = {.scoring = Scoring::sigmoid}, .num_expert_group = 2};
  CHECK(chosen_by(row, large).ids == Numbers{1});
  row.dtype = DType::f32;
  CHECK(chosen_by(row, large).ids == Numbers{2});
}

TEST_CASE("grouped_topk: groups that cannot be are refused") {
  const Row row = {.logits = Numbers(8, 1.0), .top_k = 3};
  GroupedTopkSettings settings{.num_expert_group = 3, .topk_group = 2};
  CHECK_THROWS_AS(chosen_by(row, settings), ContractError);
  settings.num_expert_group = 8;
  CHECK_THROWS_AS(chosen_by(row, settings), ContractError);
  settings = {.num_expert_group = 4, .topk_group = 1};  // two experts cannot give three
  CHECK_THROWS_AS(chosen_by(row, settings), ContractError);
}
