// Experts: the probe's signs, and products of a library with each activation between them, in every
// row type. Values are small whole numbers wherever an expected element is exact.

#include <cmath>

#include "kernels/base/bits.h"
#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

TEST_CASE("probe_experts: each expert flips its own columns") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {3, 2, dtype}, {1, 2, 3, 4, 5, -6});
  const Buffer first = rows_with(*memory, {4, 1, DType::i32}, {0, 1, 1, 3});  // expert 1 is cold
  const Buffer signs = rows_with(*memory, {3, 2, DType::i8}, {1, -1, 1, 1, -1, -1});
  kernels->probe_experts(rows.tensor(), first.tensor(), signs.tensor());
  CHECK(values_of(rows.tensor()) == std::vector<double>{1, -2, -3, -4, -5, 6});
}

namespace {

GemmWeights weights_with(Buffer w13, Buffer w2, Activation activation) {
  return {.w13 = std::move(w13), .w2 = std::move(w2), .activation = activation};
}

// One expert whose W13 and W2 pass its rows through, so that out is the activation alone.
std::vector<double> activated(Activation activation, DType dtype, const std::vector<double>& row) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto width = static_cast<Count>(row.size());
  const Count intermediate = width / w13_rows_each(activation);
  std::vector<double> identity;
  for (Count i = 0; i < width * width; ++i) identity.push_back(i % (width + 1) == 0 ? 1 : 0);
  std::vector<double> first_columns;
  for (Count h = 0; h < width; ++h) {
    for (Count i = 0; i < intermediate; ++i) first_columns.push_back(h == i ? 1 : 0);
  }
  const auto experts = kernels->gemm_experts(
      weights_with(rows_with(*memory, {width, width, dtype}, identity),
                   rows_with(*memory, {width, intermediate, dtype}, first_columns), activation),
      1);
  const Buffer rows = rows_with(*memory, {1, width, dtype}, row);
  const Buffer first = rows_with(*memory, {2, 1, DType::i32}, {0, 1});
  std::vector<double> out = values_of(experts->apply(rows.tensor(), first.tensor()).tensor());
  out.resize(static_cast<std::size_t>(intermediate));
  return out;
}

double bf16(double value) {
  return static_cast<double>(to_float(to_bfloat16(static_cast<float>(value))));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("gemm_experts: w2 · relu²(w13 · x), expert by expert") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {3, 2, dtype}, {2, 1, 1, 2, -1, 2});
  const Buffer first = rows_with(*memory, {3, 1, DType::i32}, {0, 1, 3});
  // expert 0: inner [x0, x1, x0 + x1]; expert 1: inner [x1, x0, 0]
  const auto experts = kernels->gemm_experts(
      weights_with(rows_with(*memory, {6, 2, dtype}, {1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0}),
                   rows_with(*memory, {4, 3, dtype}, {1, 0, 0, 0, 1, -1, 1, 0, 0, 0, -1, 1}),
                   Activation::relu2_no_mul),
      2);
  const Buffer out = experts->apply(rows.tensor(), first.tensor());
  // row 0 at expert 0: relu² [4, 1, 9] → [4, 1 - 9]
  // row 1 at expert 1: relu² [4, 1, 0] → [4, -1]; row 2: relu² [4, 0, 0] → [4, 0]
  CHECK(values_of(out.tensor()) == std::vector<double>{4, -8, 4, -1, 4, 0});
}

TEST_CASE("gemm_experts: biases are added to each product, of each expert its own") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  GemmWeights weights =
      weights_with(rows_with(*memory, {2, 1, dtype}, {1, 1}),
                   rows_with(*memory, {2, 1, dtype}, {2, 3}), Activation::relu2_no_mul);
  weights.w13_bias = rows_with(*memory, {2, 1, dtype}, {1, -4});
  weights.w2_bias = rows_with(*memory, {2, 1, dtype}, {10, 20});
  const auto experts = kernels->gemm_experts(std::move(weights), 2);
  const Buffer rows = rows_with(*memory, {3, 1, dtype}, {2, 6, 1});
  const Buffer first = rows_with(*memory, {3, 1, DType::i32}, {0, 1, 3});
  // expert 0: 2 · (2 + 1)² + 10; expert 1: 3 · (6 - 4)² + 20, and 3 · 0 + 20
  CHECK(values_of(experts->apply(rows.tensor(), first.tensor()).tensor()) ==
        std::vector<double>{28, 32, 20});
}

TEST_CASE("gemm_experts: silu and gelu round the gate's half before they multiply") {
  const double gate = bf16(0.7);
  const double up = bf16(-0.4);
  const double silu = bf16(gate * sigmoid(gate));
  CHECK(activated(Activation::silu, DType::bf16, {gate, up}) ==
        std::vector<double>{bf16(silu * up)});
  CHECK(bf16(silu * up) != bf16(gate * sigmoid(gate) * up));  // one rounding would differ
  const double gelu = bf16(0.5 * gate * (1 + std::erf(gate / std::sqrt(2.0))));
  CHECK(activated(Activation::gelu, DType::bf16, {gate, up}) ==
        std::vector<double>{bf16(gelu * up)});
  CHECK(activated(Activation::silu, DType::f32, {3, 2})[0] == Approx(2 * 3 * sigmoid(3)));
}

TEST_CASE("gemm_experts: swigluoai reads interleaved rows and clamps (experts-and-oracles, 18)") {
  const auto value = [](double gate, double up) {
    return activated(Activation::swigluoai, DType::f32, {gate, up})[0];
  };
  CHECK(value(1, 0.5) == Approx(1.268694).epsilon(1e-6));
  CHECK(value(8, -9) == Approx(-41.999720).epsilon(1e-6));
  CHECK(value(-3, 2) == Approx(-0.0542139).epsilon(1e-5));
  const auto both = activated(Activation::swigluoai, DType::f32, {1, 0.5, 8, -9});
  CHECK(both[0] == Approx(1.268694).epsilon(1e-6));
  CHECK(both[1] == Approx(-41.999720).epsilon(1e-6));
}

TEST_CASE("gemm_experts: forms without a gate") {
  CHECK(activated(Activation::relu2_no_mul, DType::bf16, {-3, 5}) == std::vector<double>{0, 25});
  const auto silu = activated(Activation::silu_no_mul, DType::f32, {2, -1});
  CHECK(silu[0] == Approx(2 * sigmoid(2)));
  CHECK(silu[1] == Approx(-sigmoid(-1)));
  CHECK(activated(Activation::gelu_no_mul, DType::f32, {1})[0] == Approx(0.8413447));
}

TEST_CASE("gemm_experts: weights of another shape are refused") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto of = [&](Count w13_rows, Activation activation) {
    return kernels->gemm_experts(weights_with(Buffer(*memory, {w13_rows, 2, DType::f32}),
                                              Buffer(*memory, {2, 3, DType::f32}), activation),
                                 1);
  };
  CHECK(of(3, Activation::relu2_no_mul) != nullptr);
  CHECK(of(6, Activation::silu) != nullptr);
  CHECK_THROWS_AS(of(3, Activation::silu), ContractError);
  CHECK_THROWS_AS(of(6, Activation::relu2_no_mul), ContractError);
}
