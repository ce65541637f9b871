// The metadata of recorded traces and logits: strings of a safetensors header as checked values.
// Called by their two readers only.

#pragma once

#include "sim/router_logits.h"
#include "sim/routing_trace.h"
#include "sim/safetensors.h"

namespace moe::sim {

// Every key of formats.md, 1, present and within sane bounds. Throws ScenarioError
// "path: metadata 'key': …".
RoutingTrace trace_from_metadata(const SafetensorsHeader& header);

// The same of recorded router logits (formats.md, 2): the model's keys, `layer` and `note`.
RouterLogits logits_from_metadata(const SafetensorsHeader& header);

}  // namespace moe::sim
