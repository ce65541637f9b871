// The doors of the operators: shapes and types are checked here, once for every device.
// The do_… functions behind them only compute.

#include "kernels/kernels.h"

#include <algorithm>
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

void check_logits(const Tensor& router_logits, const Routing& chosen) {
  check_routing(chosen, router_logits.rows);
  MOE_CHECK(is_row_type(router_logits.dtype), "router logits of " + shape_text(router_logits));
  MOE_CHECK(chosen.topk_ids.columns <= router_logits.columns,
            text("top-", chosen.topk_ids.columns, " of ", router_logits.columns, " experts"));
}

void check_bias(const TopkSettings& settings, Count num_experts) {
  const Tensor& bias = settings.correction_bias;
  MOE_CHECK(bias.columns == 0 ||
                (bias.rows == 1 && bias.columns == num_experts && bias.dtype == DType::f32),
            text("a correction bias is [1, ", num_experts, "] f32, not ", shape_text(bias)));
}

AlignedBlocksBuffers empty_blocks(Memory& memory, Count length, int block_size) {
  return {Buffer(memory, {length, 1, DType::i32}),
          Buffer(memory, {(length + block_size - 1) / block_size, 1, DType::i32}),
          Buffer(memory, {1, 1, DType::i32})};
}

}  // namespace

Count sorted_ids_length(Count num_choices, const BlockAlignSettings& settings) {
  const Count block = settings.block_size;
  Count length = num_choices + settings.num_experts * (block - 1);
  if (settings.length == SortedIdsLength::whole_blocks) {
    length = (length + block - 1) / block * block;
  }
  return num_choices < settings.num_experts ? std::min(num_choices * block, length) : length;
}

void Kernels::fused_topk(const Tensor& router_logits, const TopkSettings& settings,
                         const Routing& chosen) {
  check_logits(router_logits, chosen);
  check_bias(settings, router_logits.columns);
  do_fused_topk(router_logits, settings, chosen);
}

void Kernels::grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                           const Routing& chosen) {
  check_logits(router_logits, chosen);
  check_bias(settings.topk, router_logits.columns);
  const Count num_experts = router_logits.columns;
  const int groups = settings.num_expert_group;
  const std::string given = text(num_experts, " experts in ", groups, " groups");
  MOE_CHECK(groups > 0 && num_experts % groups == 0 && (groups == 1 || num_experts > groups),
            given + ": not two or more each");
  MOE_CHECK(settings.topk_group > 0 && settings.topk_group <= groups &&
                chosen.topk_ids.columns <= settings.topk_group * (num_experts / groups),
            text("top-", chosen.topk_ids.columns, " of ", settings.topk_group, " groups; ", given));
  do_grouped_topk(router_logits, settings, chosen);
}

void Kernels::topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                              const Routing& chosen) {
  check_logits(router_logits, chosen);
  do_topk_then_score(router_logits, settings, chosen);
}

void Kernels::recorded_routing(const Tensor& recorded, const Routing& chosen) {
  check_routing(chosen, recorded.rows);
  MOE_CHECK(recorded.dtype == DType::f32 && recorded.columns == 2 * chosen.topk_ids.columns,
            "a recorded routing is [tokens, 2 top_k] f32, not " + shape_text(recorded));
  do_recorded_routing(recorded, chosen);
}

Buffer Kernels::local_ids(const Tensor& topk_ids, const Tensor& expert_map) {
  MOE_CHECK(
      topk_ids.dtype == DType::i32 && expert_map.dtype == DType::i32 && expert_map.columns == 1,
      text("ids and a map are i32, not ", shape_text(topk_ids), " and ", shape_text(expert_map)));
  Buffer local(memory(), {topk_ids.rows, topk_ids.columns, DType::i32});
  do_local_ids(topk_ids, expert_map, local.tensor());
  return local;
}

RowPlanBuffers Kernels::plan_rows(const Tensor& topk_ids, const Tensor& expert_map,
                                  int num_local_experts) {
  MOE_CHECK(
      topk_ids.dtype == DType::i32 && (expert_map.columns == 0 || expert_map.dtype == DType::i32),
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

Buffer Kernels::permute(const Tensor& hidden_states, const RowPlan& plan, GroupedRows how) {
  MOE_CHECK(plan.row_of.rows == hidden_states.rows,
            text("a plan for ", plan.row_of.rows, " rows and ", shape_text(hidden_states)));
  return do_permute(hidden_states, plan, how);
}

AlignedBlocksBuffers Kernels::moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                                                   const BlockAlignSettings& settings) {
  MOE_CHECK(topk_ids.dtype == DType::i32, "ids are i32, not " + shape_text(topk_ids));
  MOE_CHECK(settings.block_size > 0 && settings.num_experts > 0,
            text("blocks of ", settings.block_size, " for ", settings.num_experts, " experts"));
  MOE_CHECK(expert_map.columns == 0 || (expert_map.dtype == DType::i32 && expert_map.columns == 1 &&
                                        expert_map.rows == settings.num_experts),
            text("a map of ", settings.num_experts, " experts: ", shape_text(expert_map)));
  const Count length = sorted_ids_length(topk_ids.rows * topk_ids.columns, settings);
  AlignedBlocksBuffers blocks = empty_blocks(memory(), length, settings.block_size);
  do_moe_align_block_size(topk_ids, expert_map, settings, blocks.view());
  return blocks;
}

AlignedBlocksBuffers Kernels::batched_moe_align_block_size(const Tensor& expert_num_tokens,
                                                           Count capacity, int block_size) {
  MOE_CHECK(expert_num_tokens.dtype == DType::i32 && expert_num_tokens.columns == 1,
            "expert_num_tokens is [experts, 1] i32, not " + shape_text(expert_num_tokens));
  MOE_CHECK(block_size > 0 && capacity >= 0,
            text("blocks of ", block_size, ", capacity ", capacity));
  const Count each = (capacity + block_size - 1) / block_size * block_size;
  AlignedBlocksBuffers blocks = empty_blocks(memory(), expert_num_tokens.rows * each, block_size);
  do_batched_moe_align_block_size(expert_num_tokens, capacity, block_size, blocks.view());
  return blocks;
}

BatchedRowsBuffers Kernels::to_batched_experts(const Tensor& rows, const Tensor& first_row,
                                               Count capacity) {
  MOE_CHECK(first_row.dtype == DType::i32 && first_row.rows > 0 && capacity >= 0,
            text("first rows ", shape_text(first_row), ", capacity ", capacity));
  const Count num_experts = first_row.rows - 1;
  BatchedRowsBuffers batched{
      Buffer(memory(), {num_experts * capacity, rows.columns, rows.dtype}),
      Buffer(memory(), {num_experts, 1, DType::i32}),
  };
  do_to_batched_experts(rows, first_row, capacity, batched.view());
  return batched;
}

Buffer Kernels::from_batched_experts(const BatchedRows& batched, const Tensor& first_row) {
  const Count num_experts = first_row.rows - 1;
  MOE_CHECK(first_row.dtype == DType::i32 && batched.expert_num_tokens.dtype == DType::i32 &&
                batched.expert_num_tokens.rows == num_experts &&
                (num_experts == 0 || batched.hidden_states.rows % num_experts == 0),
            text("batched rows ", shape_text(batched.hidden_states), ", counts ",
                 shape_text(batched.expert_num_tokens), ", first rows ", shape_text(first_row)));
  return do_from_batched_experts(batched, first_row);
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

Buffer Kernels::weight_rows(const Tensor& rows, const Tensor& weights) {
  MOE_CHECK(is_row_type(rows.dtype) && weights.dtype == DType::f32 && weights.rows == rows.rows &&
                weights.columns == 1,
            text("weights ", shape_text(weights), " for rows ", shape_text(rows)));
  Buffer out(memory(), {rows.rows, rows.columns, rows.dtype});
  do_weight_rows(rows, weights, out.tensor());
  return out;
}

void Kernels::scale_rows(const Tensor& rows, float factor) {
  MOE_CHECK(is_row_type(rows.dtype), shape_text(rows));
  do_scale_rows(rows, factor);
}

void Kernels::add_rows(const Tensor& rows, const Tensor& to) {
  MOE_CHECK(is_row_type(rows.dtype) && rows.dtype == to.dtype && rows.rows == to.rows &&
                rows.columns == to.columns,
            text(shape_text(rows), " added to ", shape_text(to)));
  do_add_rows(rows, to);
}

void Kernels::check_reduction(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                              const Tensor& out) {
  MOE_CHECK(rows.dtype == out.dtype && is_row_type(out.dtype) && rows.columns == out.columns,
            text("rows ", shape_text(rows), " reduced to ", shape_text(out)));
  MOE_CHECK(row_of.rows == out.rows && topk_weights.rows == out.rows &&
                row_of.columns == topk_weights.columns,
            text("row_of ", shape_text(row_of), " and weights ", shape_text(topk_weights), " for ",
                 shape_text(out)));
}

void Kernels::weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                const Tensor& topk_weights, const Tensor& out) {
  check_reduction(rows, row_of, topk_weights, out);
  do_weight_and_reduce(rows, row_of, topk_weights, out);
}

}  // namespace moe
