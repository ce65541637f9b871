// Whether every step fits: what one rank may submit at most, by the scenario's capacity or by its
// backend. A step that does not fit is refused, never cut.

#pragma once

#include "backends/backend.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// Against capacity.max_num_batched_tokens. Throws ScenarioError at that key, with step and rank.
void check_capacity(const Scenario& scenario, const WorldInputs& inputs);

// Against what the backend of a run line takes.
void check_capacity(const Scenario& scenario, const WorldInputs& inputs, const Backend& backend,
                    const RunLine& line);

}  // namespace moe::sim
