// A router for exact worlds: the layer's own chooses, mix's whole numbers weigh. A softmax's
// weights would not stay exact in the rows' type (numerics.md, 1), its ids are what is judged.

#pragma once

#include <memory>

#include "backends/moe_layer.h"

namespace moe::sim {

// Reads rows [tokens, num_experts + top_k] f32: router logits, then the weights that the choices
// are to have, so that both travel together wherever a path selects. RETURNS the inner router's ids
// with those weights. LIFETIME: memory must outlive it.
std::unique_ptr<Router> with_exact_weights(std::unique_ptr<Router> inner, int top_k,
                                           Memory& memory);

// The rows that it reads, in host memory: logits [tokens, num_experts] beside weights [tokens,
// top_k].
Buffer logits_beside_weights(const Tensor& logits, const Tensor& weights, Memory& host);

}  // namespace moe::sim
