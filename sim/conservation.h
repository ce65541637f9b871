// CONS, PROV and COUNT: what arrived on a rank against what the routing says must arrive there.
// Looks at what prepare returned and at the scenario's inputs, never at how rows travelled.

#pragma once

#include "backends/capabilities.h"
#include "backends/moe_layer.h"
#include "kernels/base/expert_map.h"
#include "sim/check_ledger.h"
#include "sim/dispatched_tokens.h"
#include "sim/travelling_ids.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// What stays the same for all cells of a rank in a run.
struct ConservationFacts {
  const WorldInputs& inputs;
  const ExpertMap& expert_map;
  const Capabilities& capabilities;
  FusedMoEParallelConfig parallel;            // of this rank
  bool layer_moves_rows = true;               // else the layer gets all rows as its own
  TpSources sources = {};                     // of a dispatch to owners
  const TravellingIds* travelling = nullptr;  // null: ids travel as they were chosen
  RowQuantization quantization = {};
  // Of the call that runs, in the watch; null or empty: it has all tokens of its step.
  const std::optional<CallPart>* part = nullptr;

  const CallPart* call_part() const {
    return part != nullptr && part->has_value() ? &part->value() : nullptr;
  }
  // Rows of every DP rank in the call.
  RowCounts rows_across_dp(int step) const {
    return call_part() == nullptr ? inputs.tokens(step) : RowCounts(call_part()->num_rows);
  }
  DispatchedTokens tokens(int step) const {
    return {parallel, inputs.tokens(step), layer_moves_rows, sources, call_part()};
  }
};

// cell.rank is the rank of the world, for messages. Without provenance tags only COUNT is looked
// at, and nothing where rows are padded.
void check_dispatched(const ConservationFacts& facts, golden::Cell cell,
                      const Dispatched& dispatched, Memory& memory, CheckLedger& ledger);

// PROV of what shared experts read: the rank's own rows, byte for byte, as they were before any
// dispatch (distribution-layer.md, 11.2).
void check_shared_input(const ConservationFacts& facts, golden::Cell cell,
                        const Tensor& hidden_states, Memory& memory, CheckLedger& ledger);

}  // namespace moe::sim
