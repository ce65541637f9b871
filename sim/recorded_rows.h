// A recorded routing in the place of router logits, as the recorded router reads it
// (backends/routers.h). Made by a rank's program for each of its cells.

#pragma once

#include "sim/world_inputs.h"

namespace moe::sim {

// [tokens, 2 * top_k] f32: ids less their slot, then weights.
Buffer recorded_rows(const CellInputs& inputs, Memory& memory);

}  // namespace moe::sim
