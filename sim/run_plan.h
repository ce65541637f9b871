// What a run means to do: the scenarios that the command line chooses, loaded, and their lines,
// checked. Nothing has run when it is there.

#pragma once

#include <memory>
#include <vector>

#include "sim/command_line.h"
#include "sim/run.h"

namespace moe::sim {

// One scenario with the lines to run.
struct PlannedScenario {
  std::unique_ptr<LoadedScenario> loaded;
  std::vector<RunLine> lines;
  std::vector<LeftOut> left_out = {};  // of a trace
};

// All of them, in order. Throws ScenarioError.
std::vector<PlannedScenario> planned_scenarios(const RunCommand& command,
                                               const DataFolders& folders, const Log& log);

}  // namespace moe::sim
