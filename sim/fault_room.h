// Whether a fault has anything to act on in a world. Where it has not, nothing can name it, and a
// run says so instead of calling it a survivor. Called before a line runs.

#pragma once

#include <string>

#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// RETURNS why the fault changes nothing here, as the end of a sentence; empty where it may act, or
// where only running it tells.
std::string why_without_room(const FaultSpec& fault, const Scenario& scenario,
                             const WorldInputs& inputs);

}  // namespace moe::sim
