// Softmax top-k: order, ties, NaN rows, renormalisation; and the recorded routing.
// Expected weights are computed by hand from exponentials of small whole numbers.

#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

namespace {

struct Chosen {
  std::vector<double> ids;
  std::vector<double> weights;
};

Chosen chosen_by(const std::vector<double>& logits, int top_k, TopkSettings settings) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows =
      rows_with(*memory, {1, static_cast<Count>(logits.size()), DType::f32}, logits);
  const RoutingBuffers routing{Buffer(*memory, {1, top_k, DType::i32}),
                               Buffer(*memory, {1, top_k, DType::f32})};
  kernels->topk_softmax(rows.tensor(), settings, routing.view());
  return {values_of(routing.topk_ids.tensor()), values_of(routing.topk_weights.tensor())};
}

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("topk_softmax: best first, weights are the softmax's") {
  const Chosen chosen = chosen_by({0, 2, 1, -1}, 2, {.renormalize = false});
  CHECK(chosen.ids == std::vector<double>{1, 2});
  const double sum = 1 + std::exp(2.0) + std::exp(1.0) + std::exp(-1.0);
  CHECK(chosen.weights[0] == Approx(std::exp(2.0) / sum).epsilon(1e-6));
  CHECK(chosen.weights[1] == Approx(std::exp(1.0) / sum).epsilon(1e-6));
}

TEST_CASE("topk_softmax: renormalised weights sum to one") {
  const Chosen chosen = chosen_by({0, 2, 1, -1}, 2, {.renormalize = true});
  CHECK(chosen.weights[0] == Approx(1 / (1 + std::exp(-1.0))).epsilon(1e-6));
  CHECK(chosen.weights[0] + chosen.weights[1] == Approx(1).epsilon(1e-6));
}

TEST_CASE("topk_softmax: ties go to the lower expert") {
  CHECK(chosen_by({1, 3, 3, 3, 1}, 3, {}).ids == std::vector<double>{1, 2, 3});
  CHECK(chosen_by({5, 5, 5, 5}, 4, {}).weights == std::vector<double>{.25, .25, .25, .25});
}

TEST_CASE("topk_softmax: all-negative logits are chosen by value, not clamped") {
  CHECK(chosen_by({-90, -70, -80, -100}, 2, {}).ids == std::vector<double>{1, 2});
}

TEST_CASE("topk_softmax: a poisoned row chooses the first experts with weight 0") {
  const Chosen chosen =
      chosen_by({not_a_number, not_a_number, not_a_number, not_a_number}, 3, {.renormalize = true});
  CHECK(chosen.ids == std::vector<double>{0, 1, 2});
  CHECK(chosen.weights == std::vector<double>{0, 0, 0});
}

TEST_CASE("topk_softmax: more choices than experts are refused") {
  CHECK_THROWS_AS(chosen_by({1, 2}, 3, {}), ContractError);
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
