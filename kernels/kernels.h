// Kernels: the operators of one rank for one kind of device. A seam.
// No operator knows that other ranks exist; shapes are checked at these doors, once.

#pragma once

#include <memory>

#include "kernels/base/activation.h"
#include "kernels/base/buffer.h"
#include "kernels/base/routing.h"
#include "kernels/block_alignment.h"
#include "kernels/quantization.h"
#include "kernels/router_settings.h"

namespace moe {

// Where each choice's row stands once rows are grouped by local expert (vLLM: moe_permute).
struct RowPlan {
  Tensor row_of;  // [rows, top_k] i32: the choice's row in the grouped order, -1 not on this rank
  Tensor source_of;  // [rows * top_k, 1] i32: the dispatched row that a grouped row copies
  Tensor
      first_row;  // [num_local_experts + 1, 1] i32: where each expert's rows start; last: their end
};

struct RowPlanBuffers {
  Buffer row_of;
  Buffer source_of;
  Buffer first_row;

  RowPlan view() const { return {row_of.tensor(), source_of.tensor(), first_row.tensor()}; }
};

// How many grouped rows a buffer has. counted: first_row's end, for which the host may have to
// wait. bounded: no wait; where the host does not know the end, one for each choice.
enum class GroupedRows { counted, bounded };

// The batched_experts format: the rows of local expert e are rows [e * capacity, e * capacity +
// expert_num_tokens[e]) of hidden_states; the others hold whatever was there.
struct BatchedRows {
  Tensor hidden_states;      // [num_local_experts * capacity, hidden]
  Tensor expert_num_tokens;  // [num_local_experts, 1] i32
};

struct BatchedRowsBuffers {
  Buffer hidden_states;
  Buffer expert_num_tokens;

  BatchedRows view() const { return {hidden_states.tensor(), expert_num_tokens.tensor()}; }
};

// The weights of every local expert, each row an output channel (vLLM's w13_weight, w2_weight): w13
// [num_local_experts * intermediate * w13_rows_each, hidden], w2 [num_local_experts * hidden,
// intermediate]. A bias is null or has one row per expert: w13_bias [num_local_experts,
// intermediate * w13_rows_each], w2_bias [num_local_experts, hidden]. All of the rows' type.
struct GemmWeights {
  Buffer w13;
  Buffer w2;
  Buffer w13_bias = {};
  Buffer w2_bias = {};
  Activation activation = Activation::silu;
};

// Experts as two products with an activation between them, their weights made ready once.
class GemmExperts {
 public:
  virtual ~GemmExperts() = default;

  // w2[e] · activation(w13[e] · row + w13_bias[e]) + w2_bias[e] for the rows of each expert. rows
  // [first_row's end or more, hidden], first_row as in RowPlan. RETURNS [rows, hidden]. Products
  // add in fp32 in an order of the library's; roundings to the rows' type: after each product with
  // its bias, and in the activation as activation.h says (experts-and-oracles.md, 10).
  virtual Buffer apply(const Tensor& rows, const Tensor& first_row) = 0;
};

// How rows are quantised before a product; scale as in QuantSettings, of one part.
struct ActivationQuantization {
  QuantRecipe recipe = QuantRecipe::none;
  Buffer scale = {};
  LayoutChoice layout = {};
};

// GemmWeights as codes, in parts that divide among the experts. a1 and a2 say how rows are
// quantised before each product (vLLM: FusedMoEQuantConfig): with none the weights alone are
// (w8a16, w4a16). row_type: of plain rows, of what stands between the products, and of the result.
struct QuantizedGemmWeights {
  QuantizedRowsBuffers w13;
  QuantizedRowsBuffers w2;
  Buffer w13_bias = {};
  Buffer w2_bias = {};
  Activation activation = Activation::silu;
  ActivationRounding rounding = ActivationRounding::each;  // others need an a2
  DType row_type = DType::bf16;
  ActivationQuantization a1 = {};
  ActivationQuantization a2 = {};
};

// Whether a matrix of such weights is rounded to row_type before its product: groups with 16-bit
// scales under plain rows (vLLM: WNA16).
bool is_rounded_before_product(const QuantizedGemmWeights& weights, const QuantizedLayout& matrix);

// Experts whose weights are codes (experts-and-oracles.md, 8.2 and 10): each product adds codes in
// fp32, columns ascending (int8 in int32 over 128), multiplies each run of columns with one scale
// on both sides by them, then global scales, then adds the bias; roundings to row_type as
// GemmExperts has them; a2 is made of the activation as `rounding` leaves it, and a scale of a
// whole tensor is of all experts' rows. Groups with 16-bit scales under plain rows are rounded to
// row_type before the product (WNA16).
class QuantizedGemmExperts : public GemmExperts {
 public:
  // apply for rows that came quantised. Throws ContractError unless they are as a1 says.
  virtual Buffer apply_quantized(const QuantizedRows& rows, const Tensor& first_row) = 0;
};

// THREAD: one rank's. LIFETIME: not longer than its Memory.
class Kernels {
 public:
  virtual ~Kernels() = default;

  virtual Memory& memory() = 0;

  // Scores every logit of router_logits [tokens, num_experts] f32, bf16 or f16 in float32, then
  // takes the top_k best of score + correction_bias; the weight is the score. A score that is not
  // finite counts as 0; ties go to the lower expert; ORDER: best first. renormalize divides by the
  // sum in that order, by 1 if the sum is not positive. REQUIRES biases above -9999
  // (vLLM: csrc/moe/topk_softmax_kernels.cu; experts-and-oracles.md, 3.2).
  void fused_topk(const Tensor& router_logits, const TopkSettings& settings, const Routing& chosen);

  // The same within the topk_group best groups of experts: a group's score is the sum of its two
  // best where there is a correction_bias, else its best. Ties between groups and experts go to the
  // lower one; ORDER: best first (experts-and-oracles.md, 3.3).
  void grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                    const Routing& chosen);

  // The top_k largest logits, then their scores among themselves. ORDER: largest first, the lower
  // expert of equals (experts-and-oracles.md, 1.3 Renormalize, 3.4 Llama-4).
  void topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                       const Routing& chosen);

  // A routing that was written down: rows [tokens, 2 * top_k] f32 hold the ids, each less its slot,
  // then the weights. A row of zeros thus chooses the experts that softmax chooses from one.
  void recorded_routing(const Tensor& recorded, const Routing& chosen);

  // The slot on this rank of each choice of topk_ids [rows, top_k] i32, -1 for one that is masked
  // or lives elsewhere. expert_map [num_experts, 1] i32. An id that the map does not have is
  // refused.
  Buffer local_ids(const Tensor& topk_ids, const Tensor& expert_map);

  // Groups the choices of topk_ids [rows, top_k] i32 by local expert. expert_map [num_experts, 1]
  // i32 names each expert's slot on this rank, -1 elsewhere, or has no columns: the ids are local
  // already. Masked ids have no row. ORDER: experts ascending, within one the dispatched order
  // (stable).
  RowPlanBuffers plan_rows(const Tensor& topk_ids, const Tensor& expert_map, int num_local_experts);

  // The dispatched rows in grouped order: [first_row's end, hidden], or more rows of any content
  // behind them where they are bounded.
  Buffer permute(const Tensor& hidden_states, const RowPlan& plan,
                 GroupedRows how = GroupedRows::counted);

  // Blocks of block_size places for each expert that topk_ids [rows, top_k] i32 chose, experts
  // ascending; a masked choice has no place. expert_map as plan_rows takes it, or without columns:
  // every expert is here. expert_ids are local where there is a map. ORDER: places ascending within
  // an expert (vLLM promises none: compare sets).
  AlignedBlocksBuffers moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                                            const BlockAlignSettings& settings);

  // The same for the batched_experts format: the places are rows [expert * capacity + slot].
  // expert_num_tokens [num_local_experts, 1] i32, none above capacity.
  AlignedBlocksBuffers batched_moe_align_block_size(const Tensor& expert_num_tokens, Count capacity,
                                                    int block_size);

  // Grouped rows, as permute makes them, into the batched_experts format and back. An expert with
  // more rows than capacity is refused.
  BatchedRowsBuffers to_batched_experts(const Tensor& rows, const Tensor& first_row,
                                        Count capacity);
  Buffer from_batched_experts(const BatchedRows& batched, const Tensor& first_row);

  // The codes and scales that the recipe makes of rows [n, columns] f32, bf16 or f16, each with the
  // operations of its row in recipe_rows. Padding of scales is 0; the last group of columns may be
  // short (vLLM's kernels want whole ones). Rows that share no scale do not change each other.
  QuantizedRowsBuffers quantize(const Tensor& rows, QuantRecipe recipe,
                                const QuantSettings& settings = {});

  // code · scale (/ global scale) in fp32, each operation rounded, then once to dtype f32, bf16 or
  // f16. RETURNS [rows, columns].
  Buffer dequantize(const QuantizedRows& rows, DType dtype);

  // The rows' scales in another orientation, swizzle and padding of the same logical extents
  // (vLLM: swizzle_blockscale and its inverse, TMA-aligned scales). Padding is 0.
  Buffer relayout_scales(const QuantizedRows& rows, const ScaleLayout& to);

  // rows[r, h] · signs[e, h] for the rows of each expert, in place. signs [num_local_experts,
  // hidden] i8 of -1 and +1, and 0 where the column is another shard's.
  void probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs);

  // Takes the weights over, in whatever form the products want them.
  std::unique_ptr<GemmExperts> gemm_experts(GemmWeights weights, Count num_local_experts);

  std::unique_ptr<QuantizedGemmExperts> quantized_experts(QuantizedGemmWeights weights,
                                                          Count num_local_experts);

  // rows[r] · weights[r] for weights [rows, 1] f32, which are cast to the rows' type before the
  // product (vLLM: apply_router_weight_on_input). RETURNS [rows, hidden].
  Buffer weight_rows(const Tensor& rows, const Tensor& weights);

  // rows · factor in place, the factor fp32 (vLLM: routed_scaling_factor on the output).
  void scale_rows(const Tensor& rows, float factor);

  // to + rows in to, both of one shape and type; the sum in fp32.
  void add_rows(const Tensor& rows, const Tensor& to);

  // out[t] = round(Σ_k topk_weights[t, k] · rows[row_of[t, k]]): ORDER k ascending, fp32, the
  // product rounded, choices without a row left out, one rounding (numerics.md, 3).
  void weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                         const Tensor& out);

  // The same with product and sum in one rounding each time: sum = fma(row, weight, sum)
  // (numerics.md, 3: low latency).
  void fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                               const Tensor& out);

  // The ranks that own a token's choices, each once, then -1. topk_ids [rows, top_k] i32;
  // rank_of_expert [num_experts, 1] i32. RETURNS [rows, top_k] i32. ORDER: ranks ascending.
  Buffer destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert);

  // How many choices each local expert has: [num_local_experts, 1] i32. expert_map as plan_rows
  // takes it.
  Buffer count_choices(const Tensor& topk_ids, const Tensor& expert_map, int num_local_experts);

  // Choices of experts that live elsewhere (-1 in expert_map) get another id and the weight 0, in
  // place. topk_ids i32.
  void replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                               std::int32_t replacement);

  // The same ids as i32 or i64. An id that does not fit is refused.
  Buffer cast_ids(const Tensor& ids, DType dtype);

  // Row places[i] of rows at row i; row i of rows at row places[i] of to. places [n, 1] i32; to
  // keeps its other rows.
  Buffer gather_rows(const Tensor& rows, const Tensor& places);
  void scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to);

  // Rows as wide as columns: cut, or filled up with zeros.
  Buffer resize_columns(const Tensor& rows, Count columns);

 private:
  static void check_reduction(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                              const Tensor& out);

  virtual void do_fused_topk(const Tensor& router_logits, const TopkSettings& settings,
                             const Routing& chosen) = 0;
  virtual void do_grouped_topk(const Tensor& router_logits, const GroupedTopkSettings& settings,
                               const Routing& chosen) = 0;
  virtual void do_topk_then_score(const Tensor& router_logits, ChosenScoreSettings settings,
                                  const Routing& chosen) = 0;
  virtual void do_recorded_routing(const Tensor& recorded, const Routing& chosen) = 0;
  virtual void do_local_ids(const Tensor& topk_ids, const Tensor& expert_map,
                            const Tensor& local) = 0;
  virtual void do_plan_rows(const Tensor& topk_ids, const Tensor& expert_map,
                            const RowPlan& plan) = 0;
  virtual Buffer do_permute(const Tensor& hidden_states, const RowPlan& plan, GroupedRows how) = 0;
  virtual void do_moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                                       const BlockAlignSettings& settings,
                                       const AlignedBlocks& blocks) = 0;
  virtual void do_batched_moe_align_block_size(const Tensor& expert_num_tokens, Count capacity,
                                               int block_size, const AlignedBlocks& blocks) = 0;
  virtual void do_to_batched_experts(const Tensor& rows, const Tensor& first_row, Count capacity,
                                     const BatchedRows& batched) = 0;
  virtual Buffer do_from_batched_experts(const BatchedRows& batched, const Tensor& first_row) = 0;
  virtual void do_quantize(const Tensor& rows, QuantRecipe recipe, const QuantSettings& settings,
                           const QuantizedRows& out) = 0;
  virtual void do_dequantize(const QuantizedRows& rows, const Tensor& out) = 0;
  virtual void do_relayout_scales(const QuantizedRows& rows, const ScaleLayout& to,
                                  const Tensor& out) = 0;
  virtual void do_probe_experts(const Tensor& rows, const Tensor& first_row,
                                const Tensor& signs) = 0;
  virtual std::unique_ptr<GemmExperts> do_gemm_experts(GemmWeights weights,
                                                       Count num_local_experts) = 0;
  virtual std::unique_ptr<QuantizedGemmExperts> do_quantized_experts(QuantizedGemmWeights weights,
                                                                     Count num_local_experts) = 0;
  virtual void do_weight_rows(const Tensor& rows, const Tensor& weights, const Tensor& out) = 0;
  virtual void do_scale_rows(const Tensor& rows, float factor) = 0;
  virtual void do_add_rows(const Tensor& rows, const Tensor& to) = 0;
  virtual void do_weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                    const Tensor& topk_weights, const Tensor& out) = 0;
  virtual void do_fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                          const Tensor& topk_weights, const Tensor& out) = 0;
  virtual void do_destination_ranks(const Tensor& topk_ids, const Tensor& rank_of_expert,
                                    const Tensor& ranks) = 0;
  virtual void do_count_choices(const Tensor& topk_ids, const Tensor& expert_map,
                                const Tensor& counts) = 0;
  virtual void do_replace_foreign_choices(const Routing& routing, const Tensor& expert_map,
                                          std::int32_t replacement) = 0;
  virtual void do_cast_ids(const Tensor& ids, const Tensor& cast) = 0;
  virtual void do_gather_rows(const Tensor& rows, const Tensor& places, const Tensor& out) = 0;
  virtual void do_scatter_rows(const Tensor& rows, const Tensor& places, const Tensor& to) = 0;
  virtual void do_resize_columns(const Tensor& rows, const Tensor& out) = 0;
};

// The operators on the host.
std::unique_ptr<Kernels> make_cpu_kernels(Memory& memory);

}  // namespace moe
