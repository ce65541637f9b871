// ScenarioSource: where a scenario comes from and what the command line changes in it, so that
// another process can load the same one. Loaded: the scenario with its inputs, its golden and its
// registry row.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "golden/golden.h"
#include "sim/json_document.h"
#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// Folders of the project's data, found once by main.
struct DataFolders {
  std::string scenarios;
  std::string goldens;
};

struct ScenarioSource {
  DataFolders folders;
  std::string path;   // of the YAML file; empty: made for the trace
  std::string trace;  // --trace FILE; empty: the scenario's own routing
  std::optional<Values> values;
  std::optional<DType> dtype;
  std::optional<std::uint64_t> seed;
  std::optional<int> deadline_ms;
  std::optional<int> delay_max_ms;
};

// Whether the golden under folders.goldens judges this source: not where the command line changed
// what the outputs depend on.
bool has_own_values(const ScenarioSource& source);

// Ranks are late by up to that. Throws ScenarioError where they would be taken for lost ones.
void take_delay(int delay_max_ms, Scenario& scenario);

// Reads and checks the scenario. Throws ScenarioError.
Scenario load_scenario(const ScenarioSource& source);

// The scenario's golden; none where the command line changed values. Throws ScenarioError where the
// file is missing, broken, or another scenario's.
std::optional<golden::Golden> load_golden(const ScenarioSource& source, const Scenario& scenario);

// Throws ScenarioError if a step's routing is not the one that the golden recorded.
void check_routing_digests(const golden::Golden& golden, const WorldInputs& inputs,
                           const Scenario& scenario);

JsonValue to_json(const ScenarioSource& source);
ScenarioSource scenario_source_from(const JsonValue& value);

}  // namespace moe::sim
