// Routers: how router logits become topk_ids and topk_weights on a rank (vLLM: fused_moe/router/*).
// The arithmetic is the kernels'; here it is chosen and given its settings.

#pragma once

#include "backends/moe_layer.h"
#include "kernels/kernels.h"

namespace moe {

// Softmax, top-k, renormalise (vLLM: FusedTopKRouter).
std::unique_ptr<Router> make_softmax_router(Kernels& kernels, int top_k, TopkSettings settings);

// A recorded routing travels in the place of logits: rows [tokens, 2 * top_k] f32, ids less their
// slot, then weights
// (vLLM: a custom routing function).
std::unique_ptr<Router> make_recorded_router(Kernels& kernels, int top_k);

}  // namespace moe
