// The metadata of a routing trace: strings of a safetensors header as checked values.
// Called by the trace reader only.

#pragma once

#include "sim/routing_trace.h"
#include "sim/safetensors.h"

namespace moe::sim {

// Every key of formats.md, 1, present and within sane bounds. Throws ScenarioError
// "path: metadata 'key': …".
RoutingTrace trace_from_metadata(const SafetensorsHeader& header);

}  // namespace moe::sim
