// The key engine of a scenario: requests that come to DP ranks, and the steps that their engines
// come to. The same rules, written a second time in golden/engine.py, make the golden's steps.

#pragma once

#include <cstddef>

#include "sim/scenario.h"

namespace moe::sim {

constexpr std::size_t engine_steps_max = 4096;

// Whether dummy and pad tokens are among the rows of a step: they are rows like others, with hidden
// states and choices of their own, and the layer is judged on them too.
// Fills scenario.steps from scenario.engine. Throws ScenarioError at the key for too many steps.
void plan_engine_steps(Scenario& scenario);

}  // namespace moe::sim
