// CudaKernels: a GPU's operators behind the Kernels seam. Each operator lives in its own file; this
// one only joins them.

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_moves.cuh"
#include "kernels/recipe_arithmetic.h"

namespace moe::cuda {
namespace {

class CudaKernels final : public Kernels {
 public:
  explicit CudaKernels(CudaMemory& memory) : memory_(memory) {}

  Memory& memory() override { return memory_; }

 private:
  void do_fused_topk(const Tensor& router_logits, const TopkSettings& settings,
                     const Routing& chosen) override {
    cuda::fused_topk(memory_, router_logits, settings, chosen);
  }

  void do_grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                       const Routing& chosen) override {
    cuda::grouped_topk(memory_, router_logits, settings, chosen);
  }

  void do_topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                          const Routing& chosen) override {
    cuda::topk_then_score(memory_, router_logits, settings, chosen);
  }

  void do_recorded_routing(const Tensor& recorded, const Routing& chosen) override {
    cuda::recorded_routing(memory_, recorded, chosen);
  }

  void do_local_ids(const Tensor& topk_ids, const Tensor& expert_map,
                    const Tensor& local) override {
    cuda::local_ids(memory_, topk_ids, expert_map, local);
  }

  void do_plan_rows(const Tensor& topk_ids, const Tensor& expert_map,
                    const RowPlan& plan) override {
    cuda::plan_rows(memory_, topk_ids, expert_map, plan);
  }

  Buffer do_permute(const Tensor& hidden_states, const RowPlan& plan, GroupedRows how) override {
    const Count num_rows = how == GroupedRows::bounded ? plan.source_of.rows
                                                       : num_grouped_rows(memory_, plan.first_row);
    Buffer rows(memory_, {num_rows, hidden_states.columns, hidden_states.dtype});
    cuda::permute(memory_, hidden_states, plan, rows.tensor());
    return rows;
  }

  void do_moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                               const BlockAlignSettings& settings,
                               const AlignedBlocks& blocks) override {
    cuda::moe_align_block_size(memory_, topk_ids, expert_map, settings, blocks);
  }

  void do_batched_moe_align_block_size(const Tensor& expert_num_tokens, Count capacity,
                                       int block_size, const AlignedBlocks& blocks) override {
    cuda::batched_moe_align_block_size(memory_, {expert_num_tokens, capacity, block_size}, blocks);
  }

  void do_to_batched_experts(const Tensor& rows, const Tensor& first_row, Count,
                             const BatchedRows& batched) override {
    cuda::to_batched_experts(memory_, rows, first_row, batched);
  }

  Buffer do_from_batched_experts(const BatchedRows& batched, const Tensor& first_row) override {
    const Tensor& from = batched.hidden_states;
    Buffer rows(memory_, {num_grouped_rows(memory_, first_row), from.columns, from.dtype});
    cuda::from_batched_experts(memory_, batched, first_row, rows.tensor());
    return rows;
  }

  void do_quantize(const Tensor& rows, QuantRecipe recipe, const QuantSettings& settings,
                   const QuantizedRows& out) override {
    cuda::quantize(memory_, rows, recipe_call(recipe, out.layout, settings.scale_ub),
                   settings.scale, out);
  }

  void do_dequantize(const QuantizedRows& rows, const Tensor& out) override {
    cuda::dequantize(memory_, rows, out);
  }

  void do_relayout_scales(const QuantizedRows& rows, const ScaleLayout& to,
                          const Tensor& out) override {
    cuda::relayout_scales(memory_, rows, to, out);
  }

  void do_probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs) override {
    cuda::probe_experts(memory_, rows, first_row, signs);
  }

  std::unique_ptr<GemmExperts> do_gemm_experts(GemmWeights weights,
                                               Count num_local_experts) override {
    return cuda::make_gemm_experts(memory_, std::move(weights), num_local_experts);
  }

  std::unique_ptr<QuantizedGemmExperts> do_quantized_experts(QuantizedGemmWeights weights,
                                                             Count num_local_experts) override {
    return cuda::make_quantized_experts(memory_, std::move(weights), num_local_experts);
  }

  void do_weight_rows(const Tensor& rows, const Tensor& weights, const Tensor& out) override {
    cuda::weight_rows(memory_, rows, weights, out);
  }

  void do_scale_rows(const Tensor& rows, float factor) override {
    cuda::scale_rows(memory_, rows, factor);
  }

  void do_add_rows(const Tensor& rows, const Tensor& to) override {
    cuda::add_rows(memory_, rows, to);
  }

  void do_weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                            const Tensor& out) override {
    cuda::weight_and_reduce(memory_, WeightedSum::separate, {rows, row_of, topk_weights}, out);
  }

  void do_fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                  const Tensor& topk_weights, const Tensor& out) override {
    cuda::weight_and_reduce(memory_, WeightedSum::whole, {rows, row_of, topk_weights}, out);
  }

  void do_destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert,
                            const Tensor& ranks) override {
    cuda::destination_ranks(memory_, topk_ids, rank_of_expert, ranks);
  }

  void do_count_choices(const Tensor& topk_ids, const Tensor& expert_map,
                        const Tensor& counts) override {
    cuda::count_choices(memory_, topk_ids, expert_map, counts);
  }

  void do_replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                                  std::int32_t replacement) override {
    cuda::replace_foreign_choices(memory_, routing, expert_map, replacement);
  }

  void do_cast_ids(const Tensor& ids, const Tensor& cast) override {
    cuda::cast_ids(memory_, ids, cast);
  }

  void do_gather_rows(const Tensor& rows, const Tensor& places, const Tensor& out) override {
    cuda::gather_rows(memory_, rows, places, out);
  }

  void do_scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to) override {
    cuda::scatter_rows(memory_, rows, places, to);
  }

  void do_resize_columns(const Tensor& rows, const Tensor& out) override {
    cuda::resize_columns(memory_, rows, out);
  }

  CudaMemory& memory_;
};

}  // namespace

std::unique_ptr<Kernels> make_cuda_kernels(Memory& memory) {
  MOE_CHECK(memory.stream().device.kind == DeviceKind::cuda, "CUDA operators on another memory");
  return std::make_unique<CudaKernels>(static_cast<CudaMemory&>(memory));
}

}  // namespace moe::cuda
