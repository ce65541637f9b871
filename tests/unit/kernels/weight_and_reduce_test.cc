// weight_and_reduce: k order, fp32, the product rounded by itself, one rounding at the end.
// Each case has numbers that another order or another rounding would change.

#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

namespace {

std::vector<double> reduced(DType dtype, const std::vector<double>& rows,
                            const std::vector<double>& row_of, const std::vector<double>& weights) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto top_k = static_cast<Count>(weights.size());
  const Buffer values = rows_with(*memory, {static_cast<Count>(rows.size()), 1, dtype}, rows);
  const Buffer places = rows_with(*memory, {1, top_k, DType::i32}, row_of);
  const Buffer factors = rows_with(*memory, {1, top_k, DType::f32}, weights);
  const Buffer out(*memory, {1, 1, dtype});
  kernels->weight_and_reduce(values.tensor(), places.tensor(), factors.tensor(), out.tensor());
  return values_of(out.tensor());
}

}  // namespace

TEST_CASE("weight_and_reduce: choices in k order, whatever order their rows have") {
  const std::vector<double> rows{1, -1e8, 1e8};
  CHECK(reduced(DType::f32, rows, {2, 0, 1}, {1, 1, 1}) == std::vector<double>{0});
  CHECK(reduced(DType::f32, rows, {2, 1, 0}, {1, 1, 1}) == std::vector<double>{1});
}

TEST_CASE("weight_and_reduce: a choice without a row adds nothing, not even its NaN") {
  CHECK(reduced(DType::bf16, {3, 5}, {-1, 1}, {1e30, 2}) == std::vector<double>{10});
  CHECK(reduced(DType::bf16, {3}, {-1, -1}, {1, 1}) == std::vector<double>{0});
}

TEST_CASE("weight_and_reduce: bf16 is rounded once, at the end") {
  CHECK(reduced(DType::bf16, {256, .75, .75}, {0, 1, 2}, {1, 1, 1}) == std::vector<double>{258});
}

TEST_CASE("weight_and_reduce: the product is rounded before it is added (no fma)") {
  // (1 + 2^-12)² = 1 + 2^-11 + 2^-24; rounded to fp32 the last term is gone, fused it would remain.
  const double value = 1.0 + 0x1p-12;
  CHECK(reduced(DType::f32, {-1.0 - 0x1p-11, value}, {0, 1}, {1, value}) == std::vector<double>{0});
}
