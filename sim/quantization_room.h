// What faults of scales and codes need of a world, as fault_room.h says it: empty where they can
// act, else what is missing. Called by fault_room.cc.

#pragma once

#include <string>

#include "sim/fault_room.h"

namespace moe::sim {

std::string swizzled_scales(const FaultRoom& room);
std::string scale_columns(const FaultRoom& room);
std::string uneven_scales(const FaultRoom& room);
std::string travelling_codes(const FaultRoom& room);
std::string scale_of_all_rows(const FaultRoom& room);
std::string weight_scales(const FaultRoom& room);

}  // namespace moe::sim
