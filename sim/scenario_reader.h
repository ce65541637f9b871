// Reads scenario files: text in, Scenario out, or a ScenarioError at file:line:column that names
// the value, the valid choices and the nearest one. Called by the program's commands.

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/scenario.h"

namespace moe::sim {

// root is the scenarios folder. Below it a scenario's name is its path without the extension; a
// file elsewhere must end in its name. Traces are looked for below root; only their headers are
// read.
Scenario read_scenario(const std::filesystem::path& path, const std::filesystem::path& root);

// All *.yaml below the paths (files, folders, or names and folders of scenarios below root),
// sorted, none twice; without paths all below root. Throws ScenarioError for a path that does not
// exist, with the nearest scenario name.
std::vector<std::filesystem::path> scenario_files(const std::vector<std::string>& paths,
                                                  const std::filesystem::path& root);

// --trace: the trace takes the place of the scenario's routing, steps and model, but for hidden and
// intermediate where the scenario says them. A world.dp that the scenario says must divide the
// trace's (ScenarioError that names the possible sizes); otherwise it becomes the trace's.
void adopt_trace(Scenario& scenario, const std::string& trace_path);

// A scenario "trace:FILE" with the default run line, for --trace without a path.
Scenario scenario_for_trace(const std::string& trace_path);

}  // namespace moe::sim
