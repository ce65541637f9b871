// The sections of a scenario file, one function each. Called by read_scenario in this order, since
// routing and steps are held against the world and the model. Nobody else includes this.

#pragma once

#include <filesystem>
#include <string>

#include "sim/routing_trace.h"
#include "sim/scenario.h"
#include "sim/scenario_map.h"

namespace moe::sim {

constexpr int experts_max = 32'767;  // ids are i16 in traces
constexpr Count width_max = 1 << 20;

// All of these fill the scenario and throw ScenarioError at the offending key.
void read_expect(const YamlNode& node, Scenario& scenario);
void read_defects(const YamlNode& node, Scenario& scenario);
void read_world(const YamlNode& node, Scenario& scenario);
void read_model(const YamlNode& node, Scenario& scenario);
void read_eplb(const YamlNode& node, Scenario& scenario);
void read_faults(const YamlNode& node, Scenario& scenario);
void read_runs(const YamlNode& node, Scenario& scenario);
void read_dp_chunking(const YamlNode& node, Scenario& scenario);

// `root` is the scenarios folder, where a trace's file is looked for.
void read_routing(const YamlNode& node, const std::filesystem::path& root, Scenario& scenario);

// Steps as lists of counts, or with a trace a range. REQUIRES routing to be read.
void read_steps(const YamlNode& node, Scenario& scenario);

// The engine's requests. REQUIRES the world to be read, and no steps.
void read_engine(const YamlNode& node, Scenario& scenario);

// What the engine's settings become under the run lines, and the steps that its requests come to.
// REQUIRES everything else to be read.
void settle_engine(Scenario& scenario);

// Throws for a key of the model that says something else than the trace.
void check_trace_agrees(const Scenario& scenario, const RoutingTrace& trace);

// Throws for keys that only a trace, or router logits, may set to anything but their default.
void check_traced_defaults(const Scenario& scenario);

// Sets what a trace sets: dp, the model, and the ends of open ranges. REQUIRES scenario.routing to
// be a TraceRouting.
void take_from_trace(Scenario& scenario, const RoutingTrace& trace);

}  // namespace moe::sim
