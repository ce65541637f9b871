// The monolithic path: router logits travel with the rows and the experts select (vLLM: monolithic
// PrepareFinalize and experts; experts-and-oracles.md, 5). The layer's story stays as it is: its
// router passes logits on, its experts begin by selecting.

#pragma once

#include "backends/moe_layer.h"

namespace moe {

// RETURNS the logits themselves as the routing.
std::unique_ptr<Router> make_late_router();

// Selects from the dispatched logits, then lets the inner experts work.
std::unique_ptr<Experts> make_monolithic_experts(std::unique_ptr<Router> router,
                                                 std::unique_ptr<Experts> inner);

}  // namespace moe
