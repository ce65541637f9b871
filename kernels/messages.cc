// The doors of the operators that dispatches to chosen ranks need, as kernels.cc has those of the
// others.

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "kernels/kernels.h"

namespace moe {
namespace {

void check_map(const Tensor& topk_ids, const Tensor& map) {
  MOE_CHECK(topk_ids.dtype == DType::i32 && map.dtype == DType::i32 && map.columns == 1,
            text("ids and a map are i32, not ", shape_text(topk_ids), " and ", shape_text(map)));
}

void check_places(const Tensor& places, const Tensor& rows, const Tensor& all) {
  MOE_CHECK(
      places.dtype == DType::i32 && places.columns == 1 && rows.dtype == all.dtype &&
          rows.columns == all.columns,
      text("places ", shape_text(places), " between ", shape_text(rows), " and ", shape_text(all)));
}

}  // namespace

void Kernels::fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                      const Tensor& topk_weights, const Tensor& out) {
  check_reduction(rows, row_of, topk_weights, out);
  do_fused_weight_and_reduce(rows, row_of, topk_weights, out);
}

Buffer Kernels::destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert) {
  check_map(topk_ids, rank_of_expert);
  Buffer ranks(memory(), {topk_ids.rows, topk_ids.columns, DType::i32});
  do_destination_ranks(topk_ids, rank_of_expert, ranks.tensor());
  return ranks;
}

Buffer Kernels::count_choices(const Tensor& topk_ids, const Tensor& expert_map,
                              int num_local_experts) {
  check_map(topk_ids, expert_map);
  Buffer counts(memory(), {num_local_experts, 1, DType::i32});
  do_count_choices(topk_ids, expert_map, counts.tensor());
  return counts;
}

void Kernels::replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                                      std::int32_t replacement) {
  check_map(routing.topk_ids, expert_map);
  MOE_CHECK(routing.topk_weights.dtype == DType::f32 &&
                routing.topk_weights.rows == routing.topk_ids.rows &&
                routing.topk_weights.columns == routing.topk_ids.columns,
            text("weights ", shape_text(routing.topk_weights), " beside ids ",
                 shape_text(routing.topk_ids)));
  do_replace_foreign_choices(routing, expert_map, replacement);
}

Buffer Kernels::cast_ids(const Tensor& ids, DType dtype) {
  const bool is_pair = (ids.dtype == DType::i32 && dtype == DType::i64) ||
                       (ids.dtype == DType::i64 && dtype == DType::i32);
  MOE_CHECK(is_pair, text("ids ", shape_text(ids), " as ", name_of(dtype)));
  Buffer cast(memory(), {ids.rows, ids.columns, dtype});
  do_cast_ids(ids, cast.tensor());
  return cast;
}

Buffer Kernels::gather_rows(const Tensor& rows, const Tensor& places) {
  Buffer gathered(memory(), {places.rows, rows.columns, rows.dtype});
  check_places(places, gathered.tensor(), rows);
  do_gather_rows(rows, places, gathered.tensor());
  return gathered;
}

void Kernels::scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to) {
  check_places(places, rows, to);
  MOE_CHECK(places.rows == rows.rows, text(places.rows, " places for rows ", shape_text(rows)));
  do_scatter_rows(rows, places, to);
}

Buffer Kernels::resize_columns(const Tensor& rows, Count columns) {
  Buffer resized(memory(), {rows.rows, columns, rows.dtype});
  do_resize_columns(rows, resized.tensor());
  return resized;
}

}  // namespace moe
