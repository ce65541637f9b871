// All scenarios are loaded before the first line runs, so that bad input stops everything before a
// verdict.

#include "sim/run_plan.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/scenario_reader.h"

namespace moe::sim {
namespace {

bool has_tag(const Scenario& scenario, const std::vector<std::string>& tags) {
  return std::ranges::any_of(tags, [&scenario](const std::string& tag) {
    return std::ranges::count(scenario.tags, tag) > 0;
  });
}

ScenarioSource source_for(const RunCommand& command, const DataFolders& folders,
                          const std::string& path) {
  return {folders,       path,         command.trace,       command.values,
          command.dtype, command.seed, command.deadline_ms, command.delay_max_ms};
}

// The lines, or the one that --line names.
std::vector<RunLine> chosen_lines(std::vector<RunLine> lines, const RunCommand& command,
                                  const Scenario& scenario) {
  if (!command.line) return lines;
  const auto count = static_cast<int>(lines.size());
  if (*command.line < 0 || *command.line >= count) {
    throw ScenarioError(
        text("--line ", *command.line, ": ", scenario.name, " has run lines 0 to ", count - 1));
  }
  return {lines[static_cast<std::size_t>(*command.line)]};
}

std::unique_ptr<LoadedScenario> loaded(const ScenarioSource& source, const Log& log) {
  auto loaded = std::make_unique<LoadedScenario>(source);
  const WorldInputs& inputs = loaded->inputs;
  log.write(LogLevel::info,
            text("loaded ", loaded->scenario.name, ": steps ", inputs.num_steps(), ", layers ",
                 inputs.num_layers(), ", judged by the ", loaded->golden ? "golden" : "oracle"));
  return loaded;
}

// What runs where the command line names nothing: with a GPU required, also what is for GPUs.
std::vector<std::string> usual_tags(const RunCommand& command) {
  const auto requires_one = [&command](std::string_view word) {
    return std::ranges::count(command.required, word) > 0;
  };
  if (requires_one("cuda") || requires_one("nccl")) return {"fast", "gpu"};
  return {"fast"};
}

}  // namespace

std::vector<PlannedScenario> planned_scenarios(const RunCommand& command,
                                               const DataFolders& folders, const Log& log) {
  std::vector<PlannedScenario> planned;
  if (command.paths.empty() && !command.trace.empty()) {
    for (const Values values : {Values::integers, Values::real}) {
      if (command.values.value_or(values) != values) continue;
      ScenarioSource source = source_for(command, folders, "");
      source.values = values;
      auto scenario = loaded(source, log);
      TraceLines lines = lines_for_trace(*scenario, command.overrides);
      planned.push_back({std::move(scenario), std::move(lines.lines), std::move(lines.left_out)});
    }
    return planned;
  }
  std::vector<std::string> tags = command.tags;
  if (command.paths.empty() && tags.empty()) tags = usual_tags(command);
  std::vector<std::string> known;  // tags of the files that were looked at
  for (const auto& path : scenario_files(command.paths, folders.scenarios)) {
    if (!tags.empty()) {
      const Scenario scenario = read_scenario(path, folders.scenarios);
      known.insert(known.end(), scenario.tags.begin(), scenario.tags.end());
      if (!has_tag(scenario, tags)) continue;
    }
    auto scenario = loaded(source_for(command, folders, path.string()), log);
    auto lines =
        chosen_lines(lines_of(scenario->scenario, command.overrides), command, scenario->scenario);
    planned.push_back({std::move(scenario), std::move(lines)});
  }
  if (planned.empty()) {
    std::ranges::sort(known);
    known.erase(std::unique(known.begin(), known.end()), known.end());
    const std::string near = nearest(tags.front(), known);
    throw ScenarioError(
        text("no scenario has the tag ", joined(tags), "; ",
             known.empty() ? "those looked at have none" : text("there are ", joined(known)),
             near.empty() ? "" : text("; did you mean ", near, "?")));
  }
  return planned;
}

}  // namespace moe::sim
