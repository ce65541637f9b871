// Routers of a device beside the host's: the same experts in the same order, and weights that
// differ by no more than numerics.md, 7 grants (1e-5), since exp is the library's own.

#include <cmath>

#include "tests/device/both_sides.h"

using namespace moe;

namespace {

constexpr double weight_bound = 1e-5;

struct Chosen {
  Twin ids;
  Twin weights;

  Routing host() const { return {ids.host.tensor(), weights.host.tensor()}; }
  Routing device() const { return {ids.device.tensor(), weights.device.tensor()}; }
};

Chosen room_for(BothSides& both, Count rows, int top_k) {
  return {both.fresh({rows, top_k, DType::i32}), both.fresh({rows, top_k, DType::f32})};
}

void check_same(BothSides& both, const Chosen& chosen) {
  CHECK(both.difference(chosen.ids) == "");
  const std::vector<double> host = values_of(chosen.weights.host.tensor());
  const std::vector<double> device =
      values_of(both.on_host(chosen.weights.device.tensor()).tensor());
  for (std::size_t i = 0; i < host.size(); ++i) {
    const bool is_same = (std::isnan(host[i]) && std::isnan(device[i])) || host[i] == device[i] ||
                         std::abs(host[i] - device[i]) <= weight_bound * std::abs(host[i]);
    if (!is_same) FAIL_CHECK("weight " << i << ": " << host[i] << " and " << device[i]);
  }
}

// Logits of a token apart from each other, so that no last bit decides; some rows have ties,
// infinities and NaN.
Twin logits_of(BothSides& both, Shape shape, int seed) {
  std::vector<double> values;
  for (Count row = 0; row < shape.rows; ++row) {
    for (Count expert = 0; expert < shape.columns; ++expert) {
      const auto rank = static_cast<double>((expert * 37 + row * 11 + seed) % shape.columns);
      double value = rank * 8 / static_cast<double>(shape.columns) - 4;
      if (row % 5 == 1) value = std::floor(value);
      if (row % 7 == 3 && expert == row % shape.columns) value = NAN;
      if (row % 7 == 4 && expert == row % shape.columns) value = -INFINITY;
      if (row % 13 == 6) value = NAN;
      values.push_back(value);
    }
  }
  return both.twin(shape, values);
}

// test(both, logits, bias or no columns) for shapes, types and seeds.
void with_logits(
    const std::function<void(BothSides&, const Twin& logits, const Twin& bias, int seed)>& test) {
  on_every_device([&](BothSides& both) {
    for (int seed = 1; seed <= 32; ++seed) {
      constexpr std::array<Count, 8> counts = {4, 8, 31, 64, 128, 256, 320, 8192};
      const Count num_experts = counts[static_cast<std::size_t>(seed + seed / 8) % counts.size()];
      const DType dtype = row_types[static_cast<std::size_t>(seed) % 3];
      INFO("seed " << seed << ", " << num_experts << " experts, " << name_of(dtype));
      std::vector<double> bias;
      for (Count e = 0; e < num_experts; ++e) {
        bias.push_back(static_cast<double>(mix(seed, e) % 16) / 64);
      }
      // Few rows are a block's each, more than 512 a warp's, several a block.
      const Count rows = (seed / 8 == 1 || seed / 8 == 2) && num_experts < 8192 ? 1037 : 29;
      test(both, logits_of(both, {rows, num_experts, dtype}, seed),
           both.twin({1, num_experts, DType::f32}, bias), seed);
    }
  });
}

}  // namespace

TEST_CASE("device routers: scores, then the best") {
  with_logits([](BothSides& both, const Twin& logits, const Twin& bias, int seed) {
    TopkSettings settings{
        .scoring = seed % 2 == 0 ? Scoring::softmax : Scoring::sigmoid,
        .renormalize = seed % 3 != 0,
        .routed_scaling_factor = seed % 4 == 0 ? 2.5F : 1.0F,
        .score_rounding = seed % 5 == 0 ? ScoreRounding::bf16 : ScoreRounding::as_rules_say};
    const Chosen chosen = room_for(both, logits.host.tensor().rows, 3);
    settings.correction_bias = seed % 3 == 1 ? bias.host.tensor() : Tensor{};
    both.host().fused_topk(logits.host.tensor(), settings, chosen.host());
    settings.correction_bias = seed % 3 == 1 ? bias.device.tensor() : Tensor{};
    both.device().fused_topk(logits.device.tensor(), settings, chosen.device());
    check_same(both, chosen);
  });
}

TEST_CASE("device routers: the best, then their scores") {
  with_logits([](BothSides& both, const Twin& logits, const Twin&, int seed) {
    const ChosenScoreSettings settings{seed % 2 == 0 ? Scoring::softmax : Scoring::sigmoid};
    const Chosen chosen = room_for(both, logits.host.tensor().rows, 1 + seed % 4);
    both.host().topk_then_score(logits.host.tensor(), settings, chosen.host());
    both.device().topk_then_score(logits.device.tensor(), settings, chosen.device());
    check_same(both, chosen);
  });
}

TEST_CASE("device routers: within the best groups, by both rules") {
  with_logits([](BothSides& both, const Twin& logits, const Twin& bias, int seed) {
    const Count num_experts = logits.host.tensor().columns;
    if (num_experts % 4 != 0 || num_experts == 4) return;
    for (const auto rules : {GroupedTopkRules::torch, GroupedTopkRules::cuda_op}) {
      // Of more than 32 groups torch's rules alone.
      const bool has_many = num_experts >= 128 && rules == GroupedTopkRules::torch;
      GroupedTopkSettings settings{
          .topk = {.scoring = seed % 2 == 0 ? Scoring::softmax : Scoring::sigmoid,
                   .renormalize = seed % 3 != 0,
                   .routed_scaling_factor = 2.5F},
          .num_expert_group = has_many ? 64 : 4,
          .topk_group = has_many ? 5 : 2,
          .rules = rules};
      const Chosen chosen = room_for(both, logits.host.tensor().rows, 4);
      settings.topk.correction_bias = seed % 3 == 1 ? bias.host.tensor() : Tensor{};
      both.host().grouped_topk(logits.host.tensor(), settings, chosen.host());
      settings.topk.correction_bias = seed % 3 == 1 ? bias.device.tensor() : Tensor{};
      both.device().grouped_topk(logits.device.tensor(), settings, chosen.device());
      check_same(both, chosen);
    }
  });
}

TEST_CASE("device routers: a routing that was written down") {
  on_every_device([](BothSides& both) {
    const Twin recorded = both.integers({50, 6, DType::f32}, {-3, 200}, 1);
    const Chosen chosen = room_for(both, 50, 3);
    both.host().recorded_routing(recorded.host.tensor(), chosen.host());
    both.device().recorded_routing(recorded.device.tensor(), chosen.device());
    CHECK(both.difference(chosen.ids) == "");
    CHECK(both.difference(chosen.weights) == "");
  });
}
