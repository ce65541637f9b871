// The batched_experts format: rows to capacity slots and back, poison in the slots of nobody, and
// the whole way through plan, permute, batch, unbatch, reduce.

#include <cmath>

#include "tests/catch.h"
#include "tests/unit/kernels/chosen_routing.h"

using namespace moe;

namespace {

using Numbers = std::vector<double>;

}  // namespace

TEST_CASE("batched rows: expert after expert, capacity slots each, empty slots untouched") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {3, 2, DType::bf16}, {1, 2, 3, 4, 5, 6});
  const Buffer first_row = rows_with(*memory, {4, 1, DType::i32}, {0, 1, 1, 3});
  const BatchedRowsBuffers batched =
      kernels->to_batched_experts(rows.tensor(), first_row.tensor(), 2);
  CHECK(values_of(batched.expert_num_tokens.tensor()) == Numbers{1, 0, 2});
  const Numbers values = values_of(batched.hidden_states.tensor());
  REQUIRE(values.size() == 12);
  CHECK(Numbers(values.begin(), values.begin() + 2) == Numbers{1, 2});
  for (std::size_t i = 2; i < 8; ++i) CHECK(std::isnan(values[i]));
  CHECK(Numbers(values.begin() + 8, values.end()) == Numbers{3, 4, 5, 6});
  const Buffer back = kernels->from_batched_experts(batched.view(), first_row.tensor());
  CHECK(values_of(back.tensor()) == Numbers{1, 2, 3, 4, 5, 6});
}

TEST_CASE("batched rows: more rows than the capacity, or other counts than the plan's") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {3, 1, DType::f32}, {1, 2, 3});
  const Buffer first_row = rows_with(*memory, {3, 1, DType::i32}, {0, 2, 3});
  CHECK_THROWS_AS(kernels->to_batched_experts(rows.tensor(), first_row.tensor(), 1), ContractError);
  const BatchedRowsBuffers batched =
      kernels->to_batched_experts(rows.tensor(), first_row.tensor(), 2);
  const Buffer other_plan = rows_with(*memory, {3, 1, DType::i32}, {0, 1, 3});
  CHECK_THROWS_AS(kernels->from_batched_experts(batched.view(), other_plan.tensor()),
                  ContractError);
}

TEST_CASE("batched rows: there and back changes no sum") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer hidden = rows_with(*memory, {3, 2, DType::f32}, {1, 2, 3, 4, 5, 6});
  const Buffer ids = rows_with(*memory, {3, 2, DType::i32}, {2, 0, -1, 2, 1, 3});
  const Buffer weights = rows_with(*memory, {3, 2, DType::f32}, {1, 2, 1, 2, 2, 1});
  const Buffer map = rows_with(*memory, {4, 1, DType::i32}, {0, -1, 1, 2});
  const RowPlanBuffers plan = kernels->plan_rows(ids.tensor(), map.tensor(), 3);
  const Buffer grouped = kernels->permute(hidden.tensor(), plan.view());
  const BatchedRowsBuffers batched =
      kernels->to_batched_experts(grouped.tensor(), plan.first_row.tensor(), 4);
  CHECK(values_of(batched.expert_num_tokens.tensor()) == Numbers{1, 2, 1});
  const Buffer back = kernels->from_batched_experts(batched.view(), plan.first_row.tensor());
  const Buffer out(*memory, {3, 2, DType::f32});
  kernels->weight_and_reduce(back.tensor(), plan.row_of.tensor(), weights.tensor(), out.tensor());
  CHECK(values_of(out.tensor()) == Numbers{3, 6, 6, 8, 5, 6});
}
