// The host's operators as free functions, one file each; CpuKernels joins them behind the seam.
// Arguments have passed the doors of kernels.h: shapes fit.

#pragma once

#include "kernels/kernels.h"

namespace moe::cpu {

void fused_topk(const Tensor& router_logits, const TopkSettings& settings, const Routing& chosen);
void grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                  const Routing& chosen);
void topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen);
void recorded_routing(const Tensor& recorded, const Routing& chosen);
void local_ids(const Tensor& topk_ids, const Tensor& expert_map, const Tensor& local);
void plan_rows(const Tensor& topk_ids, const Tensor& expert_map, const RowPlan& plan);
void permute(const Tensor& hidden_states, const RowPlan& plan, const Tensor& out);
void moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                          const BlockAlignSettings& settings, const AlignedBlocks& blocks);
void batched_moe_align_block_size(const Tensor& expert_num_tokens, Count capacity, int block_size,
                                  const AlignedBlocks& blocks);
void to_batched_experts(const Tensor& rows, const Tensor& first_row, Count capacity,
                        const BatchedRows& batched);
void from_batched_experts(const BatchedRows& batched, const Tensor& first_row, const Tensor& out);
// Fills the rows' padding, too.
void quantize(const Tensor& rows, QuantRecipe recipe, const QuantSettings& settings,
              const QuantizedRows& out);
void dequantize(const QuantizedRows& rows, const Tensor& out);

// The scale of the value at (row, column) as a number, without a global scale.
float stored_scale_at(const QuantizedRows& rows, Count row, Count column);
void relayout_scales(const QuantizedRows& rows, const ScaleLayout& to, const Tensor& out);
void probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs);

// inner [rows, intermediate * w13_rows_each] → out [rows, intermediate] (activation.h).
void activate(Activation activation, const Tensor& inner, const Tensor& out);

// The same as an activation that is fused with the quantiser behind it has it: every step in fp32,
// rounded to out's type, which is the rows' or f32.
void activate_fused(Activation activation, const Tensor& inner, const Tensor& out);

std::unique_ptr<GemmExperts> make_gemm_experts(Memory& memory, GemmWeights weights,
                                               Count num_local_experts);
std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(Memory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts);
void weight_rows(const Tensor& rows, const Tensor& weights, const Tensor& out);
void scale_rows(const Tensor& rows, float factor);
void add_rows(const Tensor& rows, const Tensor& to);
void weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                       const Tensor& out);
void fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                             const Tensor& out);
void destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert, const Tensor& ranks);
void count_choices(const Tensor& topk_ids, const Tensor& expert_map, const Tensor& counts);
void replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                             std::int32_t replacement);
void cast_ids(const Tensor& ids, const Tensor& cast);
void gather_rows(const Tensor& rows, const Tensor& places, const Tensor& out);
void scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to);
void resize_columns(const Tensor& rows, const Tensor& out);

}  // namespace moe::cpu
