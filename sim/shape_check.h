// SHAPE: dtype, rows and columns of the tensors at the layer's edges: router, prepare, experts,
// finalize, output. Found before the layer's own doors refuse what does not fit.

#pragma once

#include <string_view>

#include "sim/layer_contract.h"

namespace moe::sim {

// What a router gave to prepare; hidden_states and, chosen or as logits, the routing.
void check_shape_of_input(const LayerContract& contract, golden::Cell cell,
                          const Tensor& hidden_states, const Routing& routing, CheckLedger& ledger);

// What experts get. RETURNS whether all is as it should be, so that other checks may read it.
bool check_shape_of_dispatched(const LayerContract& contract, golden::Cell cell,
                               const Dispatched& dispatched, CheckLedger& ledger);

// What experts gave to finalize, for rows that were dispatched; and the output of finalize.
void check_shape_of_expert_output(const LayerContract& contract, golden::Cell cell,
                                  const Dispatched& dispatched, const Tensor& expert_output,
                                  CheckLedger& ledger);
void check_shape_of_output(const LayerContract& contract, golden::Cell cell, const Tensor& output,
                           CheckLedger& ledger);

}  // namespace moe::sim
