// What the processes of one run write to their store, and under which keys.
// Shared by the parent's side (process_world.cc) and the rank's (rank_process.cc).

#pragma once

#include <string>

#include "sim/rank_worlds.h"

namespace moe::sim {

inline constexpr const char* job_key = "job";
std::string report_key(int rank);

JsonValue to_json(const ProcessJob& job);
ProcessJob process_job_from(const JsonValue& value);

}  // namespace moe::sim
