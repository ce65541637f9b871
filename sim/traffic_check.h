// BYTES and PART as a rank's program reads them after each layer: what the layer sent against its
// budget, and what its tags say of the sums.

#pragma once

#include "backends/traffic_budget.h"
#include "sim/check_ledger.h"

namespace moe::sim {

// sent: by this layer alone.
void check_traffic(golden::Cell cell, const Traffic& sent, const Traffic& budget,
                   CheckLedger& ledger);

void check_sharing(golden::Cell cell, SharingTags& tags, CheckLedger& ledger);

// What was counted since.
Traffic since(const Traffic& before, const Traffic& now);

}  // namespace moe::sim
