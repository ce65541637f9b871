// Which ranks a scenario may have. The reader asks; where a scenario expects to be refused, its run
// lines ask instead, so that the refusal is how they end.

#pragma once

#include "sim/scenario.h"

namespace moe::sim {

// Throws ScenarioError at the offending key for worlds that vLLM refuses or that would leave a rank
// without work (distribution-layer.md, 6.2).
void check_ranks(const Scenario& scenario);

}  // namespace moe::sim
