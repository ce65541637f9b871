// The doors of the operators: shapes and types are checked here, once for every device.
// The do_… functions behind them only compute.

#include "kernels/kernels.h"

#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

void check_routing(const Routing& chosen, Count rows) {
  MOE_CHECK(chosen.topk_ids.rows == rows && chosen.topk_weights.rows == rows &&
                chosen.topk_ids.columns == chosen.topk_weights.columns,
            text("a routing of ", shape_text(chosen.topk_ids), " and ",
                 shape_text(chosen.topk_weights), " for ", rows, " rows"));
  MOE_CHECK(chosen.topk_ids.dtype == DType::i32 && chosen.topk_weights.dtype == DType::f32,
            text("topk_ids are i32 and topk_weights f32, not ", name_of(chosen.topk_ids.dtype),
                 " and ", name_of(chosen.topk_weights.dtype)));
}

}  // namespace

void Kernels::topk_softmax(const Tensor& router_logits, TopkSettings settings,
                           const Routing& chosen) {
  check_routing(chosen, router_logits.rows);
  MOE_CHECK(is_row_type(router_logits.dtype), "router logits of " + shape_text(router_logits));
  MOE_CHECK(chosen.topk_ids.columns <= router_logits.columns,
            text("top-", chosen.topk_ids.columns, " of ", router_logits.columns, " experts"));
  do_topk_softmax(router_logits, settings, chosen);
}

void Kernels::recorded_routing(const Tensor& recorded, const Routing& chosen) {
  check_routing(chosen, recorded.rows);
  MOE_CHECK(recorded.dtype == DType::f32 && recorded.columns == 2 * chosen.topk_ids.columns,
            "a recorded routing is [tokens, 2 top_k] f32, not " + shape_text(recorded));
  do_recorded_routing(recorded, chosen);
}

RowPlanBuffers Kernels::plan_rows(const Tensor& topk_ids, const Tensor& expert_map,
                                  int num_local_experts) {
  MOE_CHECK(topk_ids.dtype == DType::i32 && expert_map.dtype == DType::i32,
            "ids and maps are i32, not " + shape_text(topk_ids));
  const Count num_choices = topk_ids.rows * topk_ids.columns;
  RowPlanBuffers plan{
      Buffer(memory(), {topk_ids.rows, topk_ids.columns, DType::i32}),
      Buffer(memory(), {num_choices, 1, DType::i32}),
      Buffer(memory(), {num_local_experts + 1, 1, DType::i32}),
  };
  do_plan_rows(topk_ids, expert_map, plan.view());
  return plan;
}

Buffer Kernels::permute(const Tensor& hidden_states, const RowPlan& plan) {
  MOE_CHECK(plan.row_of.rows == hidden_states.rows,
            text("a plan for ", plan.row_of.rows, " rows and ", shape_text(hidden_states)));
  return do_permute(hidden_states, plan);
}

void Kernels::probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs) {
  MOE_CHECK(is_row_type(rows.dtype) && signs.dtype == DType::i8 && signs.columns == rows.columns &&
                first_row.rows == signs.rows + 1,
            text("signs ", shape_text(signs), " for rows ", shape_text(rows)));
  do_probe_experts(rows, first_row, signs);
}

std::unique_ptr<GemmExperts> Kernels::gemm_experts(GemmWeights weights, Count num_local_experts) {
  const Tensor& w13 = weights.w13.tensor();
  const Tensor& w2 = weights.w2.tensor();
  const Count hidden = w13.columns;
  const Count w13_rows = w2.columns * w13_rows_each(weights.activation);
  const auto bias_fits = [&](const Tensor& bias, Count columns) {
    return bias.data == nullptr ||
           (bias.dtype == w13.dtype && bias.rows == num_local_experts && bias.columns == columns);
  };
  MOE_CHECK(is_row_type(w13.dtype) && w2.dtype == w13.dtype &&
                w13.rows == num_local_experts * w13_rows && w2.rows == num_local_experts * hidden,
            text("w13 ", shape_text(w13), " and w2 ", shape_text(w2), " of ", num_local_experts,
                 " experts, activation ", activation_row(weights.activation).name));
  MOE_CHECK(
      bias_fits(weights.w13_bias.tensor(), w13_rows) && bias_fits(weights.w2_bias.tensor(), hidden),
      text("w13_bias ", shape_text(weights.w13_bias.tensor()), " and w2_bias ",
           shape_text(weights.w2_bias.tensor()), " of ", num_local_experts, " experts"));
  return do_gemm_experts(std::move(weights), num_local_experts);
}

void Kernels::weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                const Tensor& topk_weights, const Tensor& out) {
  MOE_CHECK(rows.dtype == out.dtype && is_row_type(out.dtype) && rows.columns == out.columns,
            text("rows ", shape_text(rows), " reduced to ", shape_text(out)));
  MOE_CHECK(row_of.rows == out.rows && topk_weights.rows == out.rows &&
                row_of.columns == topk_weights.columns,
            text("row_of ", shape_text(row_of), " and weights ", shape_text(topk_weights), " for ",
                 shape_text(out)));
  do_weight_and_reduce(rows, row_of, topk_weights, out);
}

}  // namespace moe
