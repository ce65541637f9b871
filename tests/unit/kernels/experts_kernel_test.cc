// Experts: the probe's signs and the relu² experts through a library's products, in every row type.
// Values are small whole numbers, so every expected element is exact.

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

TEST_CASE("relu2_experts: w2 · relu²(w13 · x), expert by expert") {
  const DType dtype = GENERATE(DType::bf16, DType::f16, DType::f32);
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {3, 2, dtype}, {2, 1, 1, 2, -1, 2});
  const Buffer first = rows_with(*memory, {3, 1, DType::i32}, {0, 1, 3});
  // expert 0: inner [x0, x1, x0 + x1]; expert 1: inner [x1, x0, 0]
  const Buffer w13 = rows_with(*memory, {6, 2, dtype}, {1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0});
  const Buffer w2 = rows_with(*memory, {4, 3, dtype}, {1, 0, 0, 0, 1, -1, 1, 0, 0, 0, -1, 1});
  const Buffer out =
      kernels->relu2_experts(rows.tensor(), first.tensor(), {w13.tensor(), w2.tensor()});
  // row 0 at expert 0: relu² [4, 1, 9] → [4, 1 - 9]
  // row 1 at expert 1: relu² [4, 1, 0] → [4, -1]; row 2: relu² [4, 0, 0] → [4, 0]
  CHECK(values_of(out.tensor()) == std::vector<double>{4, -8, 4, -1, 4, 0});
}

TEST_CASE("relu2_experts: weights of another shape are refused") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows(*memory, {1, 2, DType::f32});
  const Buffer first = rows_with(*memory, {2, 1, DType::i32}, {0, 1});
  const Buffer w13(*memory, {3, 2, DType::f32});
  const Buffer w2(*memory, {3, 3, DType::f32});
  CHECK_THROWS_AS(
      kernels->relu2_experts(rows.tensor(), first.tensor(), {w13.tensor(), w2.tensor()}),
      ContractError);
}
