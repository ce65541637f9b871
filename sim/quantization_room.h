// What faults of scales and codes need of a world, as fault_room.h says it: empty where they can
// act, else what is missing. Called by fault_room.cc.

#pragma once

#include <string>

#include "backends/capabilities.h"
#include "sim/scenario.h"

namespace moe::sim {

std::string swizzled_scales(const Scenario& scenario, const Capabilities& capabilities);
std::string scale_columns(const Scenario& scenario, const Capabilities& capabilities);
std::string uneven_scales(const Scenario& scenario, const Capabilities& capabilities);
std::string travelling_codes(const Scenario& scenario, const Capabilities& capabilities);
std::string scale_of_all_rows(const Scenario& scenario, const Capabilities& capabilities);
std::string weight_scales(const Scenario& scenario, const Capabilities& capabilities);

}  // namespace moe::sim
