// The dispatch that DeepEP's normal mode, MoRI and FlashInfer share: one copy of a row for each
// rank that owns a choice of it; that rank weights and sums its own choices; one partial row a rank
// comes home, where they are added, ranks ascending (distribution-layer.md, 9.3, 9.6, 9.7).

#pragma once

#include "backends/backend.h"

namespace moe {

// What all of them declare; each has more of its own.
Capabilities rank_dispatch_capabilities();

std::unique_ptr<PrepareFinalize> make_rank_dispatch(const PrepareFinalizeConfig& config,
                                                    const Capabilities& capabilities);

// A backend's maker.
template <const Backend& backend>
std::unique_ptr<PrepareFinalize> rank_dispatch_of(const PrepareFinalizeConfig& config) {
  return make_rank_dispatch(config, backend.capabilities);
}

}  // namespace moe
