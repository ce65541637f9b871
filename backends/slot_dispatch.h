// The dispatch that DeepEP's low-latency mode, NIXL EP and pplx share: one message for each choice,
// into fixed room of the expert that was chosen (the batched_experts format); unweighted rows come
// home, where the source weights and adds them in top-k order (distribution-layer.md, 9.4, 9.5,
// 9.8).

#pragma once

#include "backends/backend.h"

namespace moe {

// capacity: rows of one expert's room, max_num_tokens for each rank that sends.
std::unique_ptr<PrepareFinalize> make_slot_dispatch(const PrepareFinalizeConfig& config,
                                                    const Capabilities& capabilities);

}  // namespace moe
