// Grouping rows by local expert: order, masks, foreign experts, ids beyond the map.
// Expected plans are written out by hand.

#include <array>
#include <cstring>

#include "kernels/base/mix.h"
#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

namespace {

// Rows of any bits, those of NaNs among them.
Buffer any_rows(Memory& memory, Shape shape, int seed) {
  Buffer rows(memory, shape);
  auto* bytes = static_cast<std::uint8_t*>(rows.tensor().data);
  for (Count i = 0; i < bytes_of(rows.tensor()); ++i) {
    bytes[i] = static_cast<std::uint8_t>(mix(seed, i));
  }
  return rows;
}

// Whether row a of one tensor and row b of another have the same bits.
bool same_row(const Tensor& one, Count a, const Tensor& other, Count b) {
  return std::memcmp(rows_of(one, a, 1).data, rows_of(other, b, 1).data,
                     static_cast<std::size_t>(bytes_of(rows_of(one, a, 1)))) == 0;
}

}  // namespace

TEST_CASE("I30: grouped by expert and taken back, every row has its bits, whatever they are") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  for (int seed = 1; seed <= 40; ++seed) {
    constexpr std::array dtypes = {DType::bf16, DType::f16, DType::f32};
    const Count num_rows = static_cast<Count>(mix(seed, 0) % 9);
    const int num_experts = 2 + static_cast<int>(mix(seed, 1) % 5);
    std::vector<double> ids;
    for (Count i = 0; i < 2 * num_rows; ++i) {
      const auto first = static_cast<int>(mix(seed, 2, i / 2) % 100);
      const bool is_masked = mix(seed, 3, i) % 4 == 0;
      ids.push_back(is_masked ? -1 : (first + i % 2) % num_experts);
    }
    const Buffer hidden = any_rows(*memory, {num_rows, 7, dtypes[mix(seed, 4) % 3]}, seed);
    const Buffer topk_ids = rows_with(*memory, {num_rows, 2, DType::i32}, ids);
    const RowPlanBuffers plan = kernels->plan_rows(topk_ids.tensor(), {}, num_experts);
    const Buffer grouped = kernels->permute(hidden.tensor(), plan.view());
    const std::vector<double> row_of = values_of(plan.row_of.tensor());
    Count num_choices = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      CHECK((row_of[i] < 0) == (ids[i] < 0));
      if (ids[i] < 0) continue;
      ++num_choices;
      CHECK(same_row(grouped.tensor(), static_cast<Count>(row_of[i]), hidden.tensor(),
                     static_cast<Count>(i / 2)));
    }
    CHECK(grouped.tensor().rows == num_choices);
  }
}

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
