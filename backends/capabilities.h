// Capabilities: everything that may be asked of a backend. Rules read these fields, never names
// (vLLM #40412 is the bug that comes from asking for names).

#pragma once

#include <optional>
#include <vector>

#include "kernels/base/reduction_recipe.h"

namespace moe {

// standard: [rows, hidden] with ids and weights beside them.
// batched_experts: [local experts * capacity, hidden] with a count of valid rows per expert.
enum class ActivationFormat { standard, batched_experts };

// Which rank multiplies by topk_weights and sums a token's choices.
enum class WeightsAppliedBy { expert_rank, source_rank };

// Which ranks a dispatched row reaches: every rank of the group, the owners of its experts, or none
// but its own.
enum class DispatchReach { own_rank, every_rank, owner_ranks };

// With which operations rows travel, for whoever counts what they may cost (traffic_budget.h).
// Every backend declares both.
enum class DispatchMove { undeclared, none, all_gather, broadcast };
enum class CombineMove { undeclared, none, reduce_scatter, all_to_all, all_reduce };

struct Capabilities {
  ActivationFormat activation_format = ActivationFormat::standard;
  DispatchReach dispatch_reach = DispatchReach::every_rank;
  WeightsAppliedBy weights_applied_by = WeightsAppliedBy::expert_rank;
  DispatchMove dispatch_move = DispatchMove::undeclared;
  CombineMove combine_move = CombineMove::undeclared;
  bool output_is_reduced = false;            // finalize has already summed over TP
  bool needs_routing_tables = false;         // round-robin ids are translated before dispatch
  bool moves_between_dp_ranks = true;        // false: only worlds with dp 1 can use it
  bool takes_router_logits = false;          // rows may travel with logits: selection: monolithic
  std::optional<DType> topk_ids_dtype = {};  // what the wire wants; none: any
  std::optional<Count> max_num_tokens_per_rank = {};  // capacity; none: any
  ReductionRecipe recipe = {};  // of the whole combine, as the judge replays it
};

}  // namespace moe
