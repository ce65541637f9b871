// A router weight on the input: for top-1 models whose experts take weighted rows (vLLM:
// apply_router_weight_on_input, Llama 4; distribution-layer.md, 7.7). Out of place: the caller's
// rows stay as they are. The experts must not weight again (ExpertsConfig).

#pragma once

#include "backends/moe_layer.h"
#include "kernels/kernels.h"

namespace moe {

// Weights the rows, then lets the inner one dispatch them. REQUIRES a routing that is selected, of
// one choice a token.
std::unique_ptr<PrepareFinalize> with_weighted_input(std::unique_ptr<PrepareFinalize> inner,
                                                     Kernels& kernels);

}  // namespace moe
