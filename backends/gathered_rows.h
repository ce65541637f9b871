// The dispatch that several backends share: hidden states, ids, weights (and provenance) of all
// ranks, gathered in one group call. Called by backends whose rows reach every rank.

#pragma once

#include "backends/backend.h"

namespace moe {

// RETURNS the rows of all ranks. ORDER: ranks ascending, each in its own order.
Dispatched all_gathered(const PrepareFinalizeConfig& config, const Tensor& hidden_states,
                        const Routing& routing, RowCounts tokens);

// Tags for this rank's rows, [rows, 1] i64.
Buffer provenance_tags(Memory& memory, int rank, Count rows);

}  // namespace moe
