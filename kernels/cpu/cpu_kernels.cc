// CpuKernels: the host's operators behind the Kernels seam.
// Each operator lives in its own file; this one only joins them.

#include <utility>

#include "kernels/cpu/cpu_operators.h"

namespace moe {
namespace {

class CpuKernels final : public Kernels {
 public:
  explicit CpuKernels(Memory& memory) : memory_(memory) {}

  Memory& memory() override { return memory_; }

 private:
  void do_fused_topk(const Tensor& router_logits, const TopkSettings& settings,
                     const Routing& chosen) override {
    cpu::fused_topk(router_logits, settings, chosen);
  }

  void do_grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                       const Routing& chosen) override {
    cpu::grouped_topk(router_logits, settings, chosen);
  }

  void do_topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                          const Routing& chosen) override {
    cpu::topk_then_score(router_logits, settings, chosen);
  }

  void do_recorded_routing(const Tensor& recorded, const Routing& chosen) override {
    cpu::recorded_routing(recorded, chosen);
  }

  void do_local_ids(const Tensor& topk_ids, const Tensor& expert_map,
                    const Tensor& local) override {
    cpu::local_ids(topk_ids, expert_map, local);
  }

  void do_plan_rows(const Tensor& topk_ids, const Tensor& expert_map,
                    const RowPlan& plan) override {
    cpu::plan_rows(topk_ids, expert_map, plan);
  }

  Buffer do_permute(const Tensor& hidden_states, const RowPlan& plan, GroupedRows) override {
    const Count num_rows = elements_of<std::int32_t>(plan.first_row).back();
    Buffer rows(memory_, {num_rows, hidden_states.columns, hidden_states.dtype});
    cpu::permute(hidden_states, plan, rows.tensor());
    return rows;
  }

  void do_moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                               const BlockAlignSettings& settings,
                               const AlignedBlocks& blocks) override {
    cpu::moe_align_block_size(topk_ids, expert_map, settings, blocks);
  }

  void do_batched_moe_align_block_size(const Tensor& expert_num_tokens, Count capacity,
                                       int block_size, const AlignedBlocks& blocks) override {
    cpu::batched_moe_align_block_size(expert_num_tokens, capacity, block_size, blocks);
  }

  void do_to_batched_experts(const Tensor& rows, const Tensor& first_row, Count capacity,
                             const BatchedRows& batched) override {
    cpu::to_batched_experts(rows, first_row, capacity, batched);
  }

  Buffer do_from_batched_experts(const BatchedRows& batched, const Tensor& first_row) override {
    const Tensor& from = batched.hidden_states;
    Buffer rows(memory_, {elements_of<std::int32_t>(first_row).back(), from.columns, from.dtype});
    cpu::from_batched_experts(batched, first_row, rows.tensor());
    return rows;
  }

  void do_quantize(const Tensor& rows, QuantRecipe recipe, const QuantSettings& settings,
                   const QuantizedRows& out) override {
    cpu::quantize(rows, recipe, settings, out);
  }

  void do_dequantize(const QuantizedRows& rows, const Tensor& out) override {
    cpu::dequantize(rows, out);
  }

  void do_relayout_scales(const QuantizedRows& rows, const ScaleLayout& to,
                          const Tensor& out) override {
    cpu::relayout_scales(rows, to, out);
  }

  void do_probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs) override {
    cpu::probe_experts(rows, first_row, signs);
  }

  std::unique_ptr<GemmExperts> do_gemm_experts(GemmWeights weights,
                                               Count num_local_experts) override {
    return cpu::make_gemm_experts(memory_, std::move(weights), num_local_experts);
  }

  std::unique_ptr<QuantizedGemmExperts> do_quantized_experts(QuantizedGemmWeights weights,
                                                             Count num_local_experts) override {
    return cpu::make_quantized_experts(memory_, std::move(weights), num_local_experts);
  }

  void do_weight_rows(const Tensor& rows, const Tensor& weights, const Tensor& out) override {
    cpu::weight_rows(rows, weights, out);
  }

  void do_scale_rows(const Tensor& rows, float factor) override { cpu::scale_rows(rows, factor); }

  void do_add_rows(const Tensor& rows, const Tensor& to) override { cpu::add_rows(rows, to); }

  void do_weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                            const Tensor& out) override {
    cpu::weight_and_reduce(rows, row_of, topk_weights, out);
  }

  void do_fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                  const Tensor& topk_weights, const Tensor& out) override {
    cpu::fused_weight_and_reduce(rows, row_of, topk_weights, out);
  }

  void do_destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert,
                            const Tensor& ranks) override {
    cpu::destination_ranks(topk_ids, rank_of_expert, ranks);
  }

  void do_count_choices(const Tensor& topk_ids, const Tensor& expert_map,
                        const Tensor& counts) override {
    cpu::count_choices(topk_ids, expert_map, counts);
  }

  void do_replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                                  std::int32_t replacement) override {
    cpu::replace_foreign_choices(routing, expert_map, replacement);
  }

  void do_cast_ids(const Tensor& ids, const Tensor& cast) override { cpu::cast_ids(ids, cast); }

  void do_gather_rows(const Tensor& rows, const Tensor& places, const Tensor& out) override {
    cpu::gather_rows(rows, places, out);
  }

  void do_scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to) override {
    cpu::scatter_rows(rows, places, to);
  }

  void do_resize_columns(const Tensor& rows, const Tensor& out) override {
    cpu::resize_columns(rows, out);
  }

  Memory& memory_;
};

}  // namespace

std::unique_ptr<Kernels> make_cpu_kernels(Memory& memory) {
  return std::make_unique<CpuKernels>(memory);
}

}  // namespace moe
