// What a layer of a rank promises at its edges, from the scenario alone: widths, types, ids and
// tokens. Built once a layer, read by the checks.

#pragma once

#include "sim/conservation.h"

namespace moe::sim {

struct LayerContract {
  const ConservationFacts& facts;
  Count hidden_size = 0;
  DType dtype = DType::bf16;
  int top_k = 0;
  std::vector<int> local_of;  // of each global expert its slot on this rank, -1 elsewhere
  int num_local_experts = 0;
  Count max_num_tokens = 0;   // fixed capacity: rows that a rank may hand in
  Count num_dispatchers = 1;  // ranks whose rows an expert's room holds

  IdSpace ids_space() const {
    return facts.travelling == nullptr ? IdSpace::logical : IdSpace::physical;
  }

  int num_experts() const { return static_cast<int>(local_of.size()); }
  // At the layer's edges; a backend's own type is for its wire.
  DType ids_dtype() const { return DType::i32; }
  bool is_batched() const {
    return facts.capabilities.activation_format == ActivationFormat::batched_experts;
  }
  // Rows of one expert's room in the batched format.
  Count expert_capacity() const { return max_num_tokens * num_dispatchers; }

  // Rows that the layer gets and gives back.
  Count own_rows(int step) const {
    const std::vector<Count> sizes = dispatch_sizes(facts.parallel, facts.rows_across_dp(step));
    if (!facts.layer_moves_rows) return total_rows(sizes);
    return sizes[static_cast<std::size_t>(dispatch_rank(facts.parallel))];
  }
  // The most that a dispatch can bring.
  Count rows_max(int step) const { return total_rows(facts.tokens(step).rows_per_rank()); }
};

}  // namespace moe::sim
