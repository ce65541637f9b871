// Made-up routings: which experts each token of a scenario without a trace chooses. Only mix
// decides, so golden/oracle.py makes the same choices on its own.

#pragma once

#include <cstdint>
#include <vector>

#include "sim/scenario.h"

namespace moe::sim {

// RETURNS topk_ids [num_tokens, num_layers, top_k] for tokens and layers counted from 0.
// REQUIRES a routing that is not a trace.
std::vector<std::int16_t> generated_topk_ids(const Scenario& scenario, Count num_tokens);

// What a row of zeros chooses in any routing: padding, and the dummy of a rank without tokens.
// Where there are logits the layer's router decides. A recorded choice is what travels: ids less
// their slot, of which zeros are the first experts. Throws ScenarioError as plainly_chosen does.
std::vector<std::int16_t> topk_ids_of_zeros(const Scenario& scenario, int layer);

}  // namespace moe::sim
