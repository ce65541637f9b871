// The GPU's operators as free functions, one file each; CudaKernels joins them behind the seam.
// Arguments have passed the doors of kernels.h: shapes fit. Values that kernels refuse come to
// light when the host next waits for the rank's stream.

#pragma once

#include "kernels/cuda/cuda_memory.cuh"
#include "kernels/kernels.h"

namespace moe {
struct RecipeCall;
}  // namespace moe

namespace moe::cuda {

void fused_topk(CudaMemory& memory, const Tensor& router_logits, const TopkSettings& settings,
                const Routing& chosen);
void grouped_topk(CudaMemory& memory, const Tensor& router_logits,
                  const GroupedTopkSettings& settings, const Routing& chosen);
void topk_then_score(CudaMemory& memory, const Tensor& router_logits, ChosenScoreSettings settings,
                     const Routing& chosen);
void recorded_routing(CudaMemory& memory, const Tensor& recorded, const Routing& chosen);
void local_ids(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const Tensor& local);
void plan_rows(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const RowPlan& plan);
// Rows of out from first_row's end on stay as they are.
void permute(CudaMemory& memory, const Tensor& hidden_states, const RowPlan& plan,
             const Tensor& out);
void moe_align_block_size(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                          const BlockAlignSettings& settings, const AlignedBlocks& blocks);

// Blocks for the counts of the batched_experts format.
struct BatchedBlocks {
  Tensor expert_num_tokens;
  Count capacity = 0;
  int block_size = 0;
};
void batched_moe_align_block_size(CudaMemory& memory, const BatchedBlocks& batched,
                                  const AlignedBlocks& blocks);
void to_batched_experts(CudaMemory& memory, const Tensor& rows, const Tensor& first_row,
                        const BatchedRows& batched);
void from_batched_experts(CudaMemory& memory, const BatchedRows& batched, const Tensor& first_row,
                          const Tensor& out);

// Fills the rows' padding, too. scale as in QuantSettings.
void quantize(CudaMemory& memory, const Tensor& rows, const RecipeCall& call, const Tensor& scale,
              const QuantizedRows& out);
void dequantize(CudaMemory& memory, const QuantizedRows& rows, const Tensor& out);
void relayout_scales(CudaMemory& memory, const QuantizedRows& rows, const ScaleLayout& to,
                     const Tensor& out);
void probe_experts(CudaMemory& memory, const Tensor& rows, const Tensor& first_row,
                   const Tensor& signs);
void weight_rows(CudaMemory& memory, const Tensor& rows, const Tensor& weights, const Tensor& out);
void scale_rows(CudaMemory& memory, const Tensor& rows, float factor);
void add_rows(CudaMemory& memory, const Tensor& rows, const Tensor& to);

// Product and sum rounded apart, or in one.
enum class WeightedSum { separate, whole };

// What weight_and_reduce reads.
struct WeightedRows {
  Tensor rows;
  Tensor row_of;
  Tensor topk_weights;
};
void weight_and_reduce(CudaMemory& memory, WeightedSum how, const WeightedRows& weighted,
                       const Tensor& out);
void destination_ranks(CudaMemory& memory, const Tensor& topk_ids, const Tensor& rank_of_expert,
                       const Tensor& ranks);
void count_choices(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                   const Tensor& counts);
void replace_foreign_choices(CudaMemory& memory, const Routing& routing, const Tensor& expert_map,
                             std::int32_t replacement);
void cast_ids(CudaMemory& memory, const Tensor& ids, const Tensor& cast);
void gather_rows(CudaMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& out);
void scatter_rows(CudaMemory& memory, const Tensor& rows, const Tensor& places, const Tensor& to);
void resize_columns(CudaMemory& memory, const Tensor& rows, const Tensor& out);

std::unique_ptr<GemmExperts> make_gemm_experts(CudaMemory& memory, GemmWeights weights,
                                               Count num_local_experts);

std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(CudaMemory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts);

std::unique_ptr<Kernels> make_cuda_kernels(Memory& memory);

}  // namespace moe::cuda
