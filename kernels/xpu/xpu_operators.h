// The operators on an OpenCL device as free functions, one file each family; XpuKernels joins them
// behind the seam. Arguments have passed the doors of kernels.h: shapes fit. Values that kernels
// refuse come to light when the host next waits for the rank's queue.

#pragma once

#include "kernels/kernels.h"
#include "kernels/xpu/xpu_memory.h"

namespace moe {
struct RecipeCall;
}  // namespace moe

namespace moe::xpu {

void fused_topk(XpuMemory& memory, const Tensor& router_logits, const TopkSettings& settings,
                const Routing& chosen);
void grouped_topk(XpuMemory& memory, const Tensor& router_logits,
                  const GroupedTopkSettings& settings, const Routing& chosen);
void topk_then_score(XpuMemory& memory, const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen);
void recorded_routing(XpuMemory& memory, const Tensor& recorded, const Routing& chosen);

void local_ids(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const Tensor& local);
void plan_rows(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const RowPlan& plan);
// The end of the last expert's rows, for which the host waits.
Count num_grouped_rows(XpuMemory& memory, const Tensor& first_row);
void moe_align_block_size(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                          const BlockAlignSettings& settings, const AlignedBlocks& blocks);

// Blocks for the counts of the batched_experts format.
struct BatchedBlocks {
  Tensor expert_num_tokens;
  Count capacity = 0;
  int block_size = 0;
};
void batched_moe_align_block_size(XpuMemory& memory, const BatchedBlocks& batched,
                                  const AlignedBlocks& blocks);
void to_batched_experts(XpuMemory& memory, const Tensor& rows, const Tensor& first_row,
                        const BatchedRows& batched);
void from_batched_experts(XpuMemory& memory, const BatchedRows& batched, const Tensor& first_row,
                          const Tensor& out);

// Fills the rows' padding, too. scale as in QuantSettings.
void quantize(XpuMemory& memory, const Tensor& rows, const RecipeCall& call, const Tensor& scale,
              const QuantizedRows& out);
void dequantize(XpuMemory& memory, const QuantizedRows& rows, const Tensor& out);
void relayout_scales(XpuMemory& memory, const QuantizedRows& rows, const ScaleLayout& to,
                     const Tensor& out);

void probe_experts(XpuMemory& memory, const Tensor& rows, const Tensor& first_row,
                   const Tensor& signs);
void weight_rows(XpuMemory& memory, const Tensor& rows, const Tensor& weights, const Tensor& out);
void scale_rows(XpuMemory& memory, const Tensor& rows, float factor);
void add_rows(XpuMemory& memory, const Tensor& rows, const Tensor& to);

// Product and sum rounded apart, or in one.
enum class WeightedSum : int { separate, whole };

// What weight_and_reduce reads.
struct WeightedRows {
  Tensor rows;
  Tensor row_of;
  Tensor topk_weights;
};
void weight_and_reduce(XpuMemory& memory, WeightedSum how, const WeightedRows& weighted,
                       const Tensor& out);

void destination_ranks(XpuMemory& memory, const Tensor& topk_ids, const Tensor& rank_of_expert,
                       const Tensor& ranks);
void count_choices(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                   const Tensor& counts);
void replace_foreign_choices(XpuMemory& memory, const Routing& routing, const Tensor& expert_map,
                             std::int32_t replacement);
void cast_ids(XpuMemory& memory, const Tensor& ids, const Tensor& cast);
void gather_rows(XpuMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& out);
void scatter_rows(XpuMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& to);
void resize_columns(XpuMemory& memory, const Tensor& rows, const Tensor& out);

// inner [rows, intermediate * w13_rows_each] → out [rows, intermediate] (activation.h).
void activate(XpuMemory& memory, Activation activation, const Tensor& inner, const Tensor& out,
              ActivationRounding rounding = ActivationRounding::each);

std::unique_ptr<GemmExperts> make_gemm_experts(XpuMemory& memory, GemmWeights weights,
                                               Count num_local_experts);
std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(XpuMemory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts);

std::unique_ptr<Kernels> make_xpu_kernels(Memory& memory);

}  // namespace moe::xpu
