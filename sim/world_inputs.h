// WorldInputs: what goes into every layer of every step on every rank, made from the scenario
// alone. Ranks, checks and the C++ oracle read it; golden/oracle.py makes the same values on its
// own.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <tuple>
#include <vector>

#include "comm/communicator.h"
#include "golden/golden.h"
#include "kernels/base/buffer.h"
#include "sim/made_experts.h"
#include "sim/routing_trace.h"
#include "sim/scenario.h"

namespace moe::sim {

// One cell's inputs in host memory, aligned row by row.
struct CellInputs {
  Buffer hidden_states;  // [tokens, hidden_size]
  Buffer topk_ids;       // [tokens, top_k] i32
  Buffer topk_weights;   // [tokens, top_k] f32
};

// How a line's rows come to its experts: in whose codes, and, where one scale is made of all rows
// that a rank has, where experts live and which rows come there.
struct RowsAtExperts {
  QuantRecipe a1 = QuantRecipe::none;
  golden::ExpertHomes homes = {};
};

// THREAD: safe to read from all ranks.
class WorldInputs {
 public:
  // Reads the trace if the scenario names one. Throws ScenarioError.
  explicit WorldInputs(const Scenario& scenario);

  int num_steps() const { return static_cast<int>(tokens_.size()); }
  int num_layers() const { return num_layers_; }
  DType dtype() const { return scenario_.model.dtype; }
  int top_k() const { return scenario_.model.top_k; }

  // Rows of every rank in a step (steps count from 0 within the scenario's selection).
  RowCounts tokens(int step) const { return tokens_[static_cast<std::size_t>(step)]; }

  // The choices of a rank's token: its ids, -1 masked.
  std::span<const std::int16_t> topk_ids(int step, int layer, int rank, Count token) const;

  // The same of a row of zeros in a layer (generated_routing.h).
  std::vector<std::int16_t> topk_ids_of_zeros(int layer) const;

  CellInputs cell(golden::Cell cell, Memory& memory) const;

  // The cell's router logits [tokens, num_experts] f32. REQUIRES a LogitsRouting.
  Buffer router_logits(golden::Cell cell, Memory& memory) const;

  // One row of hidden_states, as bytes of the model's dtype.
  void hidden_row(golden::Cell cell, Count token, std::span<std::byte> row) const;

  // The same as it is dispatched: weighted where the router weight is on the input.
  void dispatched_row(golden::Cell cell, Count token, std::span<std::byte> row) const;

  // The weights of a layer's experts, given by their logical ids.
  ExpertWeights expert_weights(int layer, std::span<const int> experts, Memory& memory) const;

  // The layer's shared experts as one, all of it. REQUIRES a model that has some.
  ExpertWeights shared_expert_weights(int layer, Memory& memory) const;

  // One expert's outputs for rows of a cell's hidden states, as the C++ oracle says; -1 is the
  // shared one.
  std::vector<double> expert_outputs(golden::Cell cell, int expert, const Tensor& rows,
                                     const RowsAtExperts& how) const;

  // What stands between a routed expert's products for one row, before it is quantised or rounded.
  // REQUIRES a real world.
  std::vector<double> activated(golden::Cell cell, int expert, const std::vector<double>& row,
                                const RowsAtExperts& how) const;

  // What the C++ oracle says of a cell's rows (oracle.h).
  golden::Expected expected(golden::Cell cell, const CellInputs& inputs,
                            const RowsAtExperts& how) const;

  // The same of one token's row alone.
  golden::Expected expected_row(golden::Cell cell, const CellInputs& inputs, Count token,
                                const RowsAtExperts& how) const;

  // The scales of tensors that follow from all rows of a cell's step, by expert; none where each
  // row has its own. Made once for each step and layer.
  std::span<const golden::TensorScale> tensor_scales(golden::Cell cell,
                                                     const RowsAtExperts& how) const;

  // xxh64 of a step's topk_ids over all selected layers, as goldens record it.
  std::uint64_t routing_digest(int step) const;
  bool is_recorded() const { return recorded_; }

  // Whether a rank of the EP group is dead: its experts answer nobody.
  bool is_masked(int ep_rank) const;

  // The number of a rank's token among all of the world. What a token is follows from it alone.
  Count global_token(int step, int rank, Count token) const;

 private:
  std::size_t choices_at(Count global, int layer) const;
  std::span<const std::int16_t> ids_of(Count global, int layer) const;
  void write_weights(Count global, int layer, std::span<float> weights) const;
  MadeLayer made_layer(int layer) const;
  golden::OracleModel oracle_model(int layer, QuantRecipe a1) const;
  const golden::Oracle& oracle(int layer, QuantRecipe a1) const;
  std::uint64_t hidden_seed(int layer, Count global) const;
  // topk_ids as the oracle takes them: -1 for experts of masked ranks.
  Buffer answered_ids(const Tensor& topk_ids, Memory& memory) const;
  golden::Expected expected_of(golden::Cell cell, golden::OracleTokens tokens,
                               const RowsAtExperts& how) const;
  // Of ranks [first, last) of a step, one after the other.
  CellInputs inputs_of_ranks(golden::Cell cell, int last_rank, Memory& memory) const;

  const Scenario& scenario_;
  bool recorded_ = false;
  int num_layers_ = 0;
  int first_layer_ = 0;     // the trace's own number of layer 0
  int layers_in_file_ = 0;  // ids are laid out [token, layers_in_file, top_k]
  Count first_token_ = 0;   // the trace's own number of the first token
  std::vector<std::vector<Count>> tokens_;
  std::vector<Count> step_begin_;  // first token of each step, from 0
  std::vector<std::int16_t> ids_;
  std::vector<float> weights_;  // recorded ones, of real worlds
  // One a layer, for each recipe in whose codes rows may come.
  std::map<QuantRecipe, std::vector<std::unique_ptr<golden::Oracle>>> oracles_;

  struct MadeScales {
    std::once_flag once;
    std::vector<golden::TensorScale> scales;
  };
  using StepHomes = std::tuple<int, int, bool, std::vector<int>>;  // step, layer, ExpertHomes
  mutable std::mutex scales_mutex_;
  mutable std::map<StepHomes, MadeScales> scales_;
};

}  // namespace moe::sim
