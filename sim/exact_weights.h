// A router for exact worlds: the layer's own chooses, mix's whole numbers weigh. A softmax's
// weights would not stay exact in the rows' type (numerics.md, 1), its ids are what is judged.

#pragma once

#include <memory>

#include "backends/moe_layer.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// The inner router's ids with the weights that inputs have for the cell. Weights that are NaN are
// replaced, too. LIFETIME: inputs, cell (set before each layer, see LayerWatch) and memory must
// outlive it.
std::unique_ptr<Router> with_exact_weights(std::unique_ptr<Router> inner, const WorldInputs& inputs,
                                           const golden::Cell& cell, Memory& memory);

}  // namespace moe::sim
