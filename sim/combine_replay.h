// ORDER: a combine's sum over ranks, done again by hand from what each rank gave to it, in the
// order and with the roundings of the backend's recipe. Called after a rank's last step, for the
// cells that layer_probes.h names.

#pragma once

#include <vector>

#include "backends/capabilities.h"
#include "comm/communicator.h"
#include "kernels/base/buffer.h"
#include "sim/check_ledger.h"
#include "sim/scenario.h"

namespace moe::sim {

// What one rank gave to a combine and what it got, in host memory.
struct WatchedCombine {
  Buffer expert_output;              // [rows of all ranks, hidden_size]
  Buffer output;                     // [rows of this rank, hidden_size]
  std::vector<Count> rows_per_rank;  // of the dispatch
  // Of a dispatch to owners: messages to and from each rank, the dispatched row of each that came
  // (empty: its own), and the choices that were dispatched.
  std::vector<Count> messages_to = {};
  std::vector<Count> messages_from = {};
  std::vector<std::int32_t> received_at = {};
  std::vector<std::int32_t> message_of = {};  // [rows sent, top_k]: of each choice, -1 none
  int top_k = 0;
  std::vector<std::int32_t> topk_ids = {};  // [rows of this rank, top_k]
  std::vector<float> topk_weights = {};
};

// Whether a recipe ends in a sum over ranks whose order it promises.
bool has_ordered_sum(const ReductionRecipe& recipe);

// Collective over the group of the dispatch. cell.rank is the rank of the world, for sentences.
// REQUIRES has_ordered_sum(recipe).
void check_order(const WatchedCombine& combine, const ReductionRecipe& recipe, Communicator& group,
                 golden::Cell cell, CheckLedger& ledger);

// How often a sum of expert outputs is rounded on its way home: once a stage of the backend's
// recipe, and once for each later step of the layer.
int num_roundings(const Scenario& scenario, const Capabilities& capabilities);

}  // namespace moe::sim
