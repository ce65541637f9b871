// ORDER of combines whose rows come home from the owners of experts: the messages are planned again
// from the choices alone, fetched from what the experts gave, and added by the recipe. Called by
// combine_replay.h's caller where the dispatch reaches owners.

#pragma once

#include "kernels/base/expert_map.h"
#include "sim/combine_replay.h"

namespace moe::sim {

// What this rank sent, as the scenario's rules have it.
struct OwnersCombine {
  const ExpertMap& expert_map;
  Count first_row = 0;  // of the rows that this rank holds those that it sends itself
  Count num_rows = 0;
  bool weight_on_input = false;
};

// Where a finding goes.
struct MessageLedger {
  golden::Cell cell;
  CheckLedger& ledger;
};

// Whether a recipe ends in a sum over owners' rows whose order it promises.
bool has_ordered_messages(const ReductionRecipe& recipe);

// Collective over the group of the messages. cell.rank is the rank of the world, for sentences.
// REQUIRES has_ordered_messages(recipe).
void check_message_order(const WatchedCombine& combine, const OwnersCombine& owners,
                         const ReductionRecipe& recipe, Communicator& group, MessageLedger to);

}  // namespace moe::sim
