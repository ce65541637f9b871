// The dispatch that DeepEP's low-latency mode, NIXL EP and pplx share: one message for each choice,
// into fixed room of the expert that was chosen (the batched_experts format); unweighted rows come
// home, where the source weights and adds them in top-k order (distribution-layer.md, 9.4, 9.5,
// 9.8).

#pragma once

#include "backends/backend.h"

namespace moe {

// What all of them declare; each has more of its own.
Capabilities slot_dispatch_capabilities();

// An expert's room has max_num_tokens rows for each rank that sends.
std::unique_ptr<PrepareFinalize> make_slot_dispatch(const PrepareFinalizeConfig& config,
                                                    const Capabilities& capabilities);

// A backend's maker.
template <const Backend& backend>
std::unique_ptr<PrepareFinalize> slot_dispatch_of(const PrepareFinalizeConfig& config) {
  return make_slot_dispatch(config, backend.capabilities);
}

}  // namespace moe
