// RANGE and IDS: ids at the layer's edges and where they become indices, redone from the scenario's
// placement in 64 bits. A choice that gets lost on the way to its slot is CONS's.

#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "backends/expert_id_map.h"
#include "sim/layer_contract.h"

namespace moe::sim {

// Who looks at ids, and where. token_of names a row's token.
struct IdsPlace {
  const LayerContract& contract;
  golden::Cell cell;
  std::string_view edge;  // "dispatch", "experts", for messages
  std::function<std::string(Count row)> token_of;
  Memory& memory;
};

// Ids of all ranks' experts, as a router chose them or as they arrived. REQUIRES ids of i32.
void check_global_ids(const IdsPlace& place, const Routing& routing, CheckLedger& ledger);

// What the map made of dispatched ids, choice by choice.
void check_local_ids(const IdsPlace& place, const Routing& dispatched, const RoutingBuffers& local,
                     CheckLedger& ledger);

}  // namespace moe::sim
