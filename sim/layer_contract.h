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

  IdSpace ids_space() const {
    return facts.travelling == nullptr ? IdSpace::logical : IdSpace::physical;
  }

  int num_experts() const { return static_cast<int>(local_of.size()); }
  DType ids_dtype() const { return facts.capabilities.topk_ids_dtype.value_or(DType::i32); }

  // Rows that the layer gets and gives back.
  Count own_rows(int step) const {
    const DispatchedTokens tokens = facts.tokens(step);
    const RowCounts rows = tokens.rows_per_rank();
    return rows[std::size(rows) == 1 ? 0 : static_cast<std::size_t>(dispatch_rank(facts.parallel))];
  }
  // The most that a dispatch can bring.
  Count rows_max(int step) const { return total_rows(facts.tokens(step).rows_per_rank()); }
};

}  // namespace moe::sim
