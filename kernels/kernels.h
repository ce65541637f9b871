// Kernels: the operators of one rank for one kind of device. A seam.
// No operator knows that other ranks exist; shapes are checked at these doors, once.

#pragma once

#include <memory>

#include "kernels/base/activation.h"
#include "kernels/base/buffer.h"
#include "kernels/base/routing.h"

namespace moe {

struct TopkSettings {
  bool renormalize = true;
};

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
  // [first_row's end, hidden], first_row as in RowPlan. RETURNS [rows, hidden]. Products add in
  // fp32 in an order of the library's; roundings to the rows' type: after each product with its
  // bias, and in the activation as activation.h says (experts-and-oracles.md, 10).
  virtual Buffer apply(const Tensor& rows, const Tensor& first_row) = 0;
};

// THREAD: one rank's. LIFETIME: not longer than its Memory.
class Kernels {
 public:
  virtual ~Kernels() = default;

  virtual Memory& memory() = 0;

  // Softmax over each row of router_logits [tokens, num_experts] f32, bf16 or f16, then the top_k
  // best. A score that is not finite counts as 0; ties go to the lower expert; ORDER: best first.
  // renormalize divides by the sum in that order, by 1 if the sum is not positive
  // (vLLM: csrc/moe/topk_softmax_kernels.cu; experts-and-oracles.md, 3.2).
  void topk_softmax(const Tensor& router_logits, TopkSettings settings, const Routing& chosen);

  // A routing that was written down: rows [tokens, 2 * top_k] f32 hold the ids, each less its slot,
  // then the weights. A row of zeros thus chooses the experts that softmax chooses from one.
  void recorded_routing(const Tensor& recorded, const Routing& chosen);

  // Groups the choices of topk_ids [rows, top_k] i32 by local expert. expert_map [num_experts, 1]
  // i32 names each expert's slot on this rank, -1 elsewhere; masked ids have no row. ORDER: experts
  // ascending, within one the dispatched order (stable).
  RowPlanBuffers plan_rows(const Tensor& topk_ids, const Tensor& expert_map, int num_local_experts);

  // The dispatched rows in grouped order: [first_row's end, hidden].
  Buffer permute(const Tensor& hidden_states, const RowPlan& plan);

  // rows[r, h] · signs[e, h] for the rows of each expert, in place. signs [num_local_experts,
  // hidden] i8 of -1 and +1, and 0 where the column is another shard's.
  void probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs);

  // Takes the weights over, in whatever form the products want them.
  std::unique_ptr<GemmExperts> gemm_experts(GemmWeights weights, Count num_local_experts);

  // out[t] = round(Σ_k topk_weights[t, k] · rows[row_of[t, k]]): ORDER k ascending, fp32, the
  // product rounded, choices without a row left out, one rounding (numerics.md, 3).
  void weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                         const Tensor& out);

 private:
  virtual void do_topk_softmax(const Tensor& router_logits, TopkSettings settings,
                               const Routing& chosen) = 0;
  virtual void do_recorded_routing(const Tensor& recorded, const Routing& chosen) = 0;
  virtual void do_plan_rows(const Tensor& topk_ids, const Tensor& expert_map,
                            const RowPlan& plan) = 0;
  virtual Buffer do_permute(const Tensor& hidden_states, const RowPlan& plan) = 0;
  virtual void do_probe_experts(const Tensor& rows, const Tensor& first_row,
                                const Tensor& signs) = 0;
  virtual std::unique_ptr<GemmExperts> do_gemm_experts(GemmWeights weights,
                                                       Count num_local_experts) = 0;
  virtual void do_weight_and_reduce(const Tensor& rows, const Tensor& row_of,
                                    const Tensor& topk_weights, const Tensor& out) = 0;
};

// The operators on the host.
std::unique_ptr<Kernels> make_cpu_kernels(Memory& memory);

}  // namespace moe
