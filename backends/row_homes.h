// RowHomes: where a layer's tensors lie best that its backend's calls move. A layer works with any
// other memory of its rank as well, and takes more time for it.

#pragma once

#include "backends/capabilities.h"
#include "comm/communicator.h"

namespace moe {

// LIFETIME: not longer than the group they come from.
struct RowHomes {
  Memory& hidden_states;
  Memory& topk_weights;
  Memory& topk_ids;
  Memory& expert_output;  // what experts give back for the dispatched rows
  Memory& output;
};

// group: over which rows are dispatched. Collective, as Communicator::memory_for.
RowHomes row_homes(const Capabilities& capabilities, Communicator& group);

}  // namespace moe
