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

}  // namespace moe::sim
