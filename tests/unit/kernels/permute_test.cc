// Grouping rows by local expert: order, masks, foreign experts, ids beyond the map.
// Expected plans are written out by hand.

#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

TEST_CASE("plan_rows: experts ascending, dispatched order within, masks and strangers left out") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  // experts 2 and 0 live here, in slots 1 and 0
  const Buffer map = rows_with(*memory, {4, 1, DType::i32}, {0, -1, 1, -1});
  const Buffer ids = rows_with(*memory, {4, 2, DType::i32}, {2, 1, 0, 2, -1, 2, 3, 1});
  const RowPlanBuffers plan = kernels->plan_rows(ids.tensor(), map.tensor(), 2);
  CHECK(values_of(plan.first_row.tensor()) == std::vector<double>{0, 1, 4});
  CHECK(values_of(plan.row_of.tensor()) == std::vector<double>{1, -1, 0, 2, -1, 3, -1, -1});
  const Buffer hidden = rows_with(*memory, {4, 1, DType::f32}, {10, 11, 12, 13});
  const Buffer grouped = kernels->permute(hidden.tensor(), plan.view());
  CHECK(values_of(grouped.tensor()) == std::vector<double>{11, 10, 11, 12});
}

TEST_CASE("plan_rows: no rows and no local expert are loops of zero turns") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer map = rows_with(*memory, {2, 1, DType::i32}, {-1, -1});
  const Buffer none = rows_with(*memory, {0, 2, DType::i32}, {});
  CHECK(values_of(kernels->plan_rows(none.tensor(), map.tensor(), 0).first_row.tensor()) ==
        std::vector<double>{0});
}

TEST_CASE("plan_rows: an id that no map has is refused, not read past the end") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer map = rows_with(*memory, {2, 1, DType::i32}, {0, 1});
  const Buffer ids = rows_with(*memory, {1, 1, DType::i32}, {2});
  CHECK_THROWS_AS(kernels->plan_rows(ids.tensor(), map.tensor(), 2), ContractError);
}

TEST_CASE("plan_rows: without a map the ids are local, and those beyond the slots are refused") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer ids = rows_with(*memory, {2, 2, DType::i32}, {1, -1, 0, 1});
  const RowPlanBuffers plan = kernels->plan_rows(ids.tensor(), {}, 2);
  CHECK(values_of(plan.first_row.tensor()) == std::vector<double>{0, 1, 3});
  CHECK(values_of(plan.row_of.tensor()) == std::vector<double>{1, -1, 0, 2});
  CHECK_THROWS_WITH(kernels->plan_rows(ids.tensor(), {}, 1),
                    Catch::Contains("local expert 1 of 1"));
}

TEST_CASE("local_ids: the same plan as with the map itself") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer map = rows_with(*memory, {4, 1, DType::i32}, {0, -1, 1, -1});
  const Buffer ids = rows_with(*memory, {4, 2, DType::i32}, {2, 1, 0, 2, -1, 2, 3, 1});
  const Buffer local = kernels->local_ids(ids.tensor(), map.tensor());
  CHECK(values_of(local.tensor()) == std::vector<double>{1, -1, 0, 1, -1, 1, -1, -1});
  const RowPlanBuffers mapped = kernels->plan_rows(ids.tensor(), map.tensor(), 2);
  const RowPlanBuffers plain = kernels->plan_rows(local.tensor(), {}, 2);
  CHECK(values_of(plain.row_of.tensor()) == values_of(mapped.row_of.tensor()));
}
