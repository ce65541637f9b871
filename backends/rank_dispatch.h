// The dispatch that DeepEP's normal mode, MoRI and FlashInfer share: one copy of a row for each
// rank that owns a choice of it; that rank weights and sums its own choices; one partial row a rank
// comes home, where they are added, ranks ascending (distribution-layer.md, 9.3, 9.6, 9.7).

#pragma once

#include "backends/backend.h"

namespace moe {

// Where received rows lie. exact: as many rows as came. worst_case: capacity rows of every rank,
// those that came first. by_source: room for the longest rank of the step for every rank.
enum class ReceiveRoom { exact, worst_case, by_source };

std::unique_ptr<PrepareFinalize> make_rank_dispatch(const PrepareFinalizeConfig& config,
                                                    const Capabilities& capabilities,
                                                    ReceiveRoom room);

}  // namespace moe
