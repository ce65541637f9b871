// Whether a fault has anything to act on in a world. Where it has not, nothing can name it, and a
// run says so instead of calling it a survivor. Called before a line runs.

#pragma once

#include <string>

#include "backends/capabilities.h"
#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// Where a fault would act: the scenario, its inputs, a line of it, and what the line's backend is.
struct FaultRoom {
  const Scenario& scenario;
  const WorldInputs& inputs;
  const RunLine& line;
  const Capabilities& capabilities;
};

// RETURNS why the fault changes nothing here, as the end of a sentence; empty where it may act, or
// where only running it tells.
std::string why_without_room(const FaultSpec& fault, const FaultRoom& room);

}  // namespace moe::sim
