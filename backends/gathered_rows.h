// The dispatches that several backends share: all rows to all ranks through a manager, and rows
// that stay where they are. Provenance tags are added and read here.

#pragma once

#include "backends/backend.h"

namespace moe {

// How rows travel, beside being gathered.
struct Travel {
  const RowQuantizer& quantizer;
  Provenance provenance = Provenance::off;
};

// RETURNS the rows of all ranks, with choices or router logits as they came. ORDER: ranks
// ascending, each in its own order.
Dispatched all_gathered(All2AllManager& manager, const Tensor& hidden_states,
                        const Routing& routing, RowCounts tokens, const Travel& travel);

// A PrepareFinalize that moves nothing; its tags count all rows as those of rank 0.
std::unique_ptr<PrepareFinalize> make_local_rows(const PrepareFinalizeConfig& config);

// Tags for this rank's rows, [rows, 1] i64.
Buffer provenance_tags(Memory& memory, int rank, Count rows);

}  // namespace moe
