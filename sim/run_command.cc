// moebius run: which scenarios, which lines, in which order; prints each verdict as it comes.
// All scenarios are loaded and all lines checked before the first runs, so that bad input stops
// everything before a verdict.

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/log.h"
#include "sim/ordered_jobs.h"
#include "sim/run.h"
#include "sim/run_printer.h"
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
  return {folders,       path,         command.trace,      command.values,
          command.dtype, command.seed, command.deadline_ms};
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

// One scenario with the lines to run.
struct Job {
  std::unique_ptr<LoadedScenario> loaded;
  std::vector<RunLine> lines;
};

std::vector<Job> jobs_of(const RunCommand& command, const DataFolders& folders, const Log& log) {
  std::vector<Job> jobs;
  if (command.paths.empty() && !command.trace.empty()) {
    for (const Values values : {Values::integers, Values::real}) {
      if (command.values.value_or(values) != values) continue;
      ScenarioSource source = source_for(command, folders, "");
      source.values = values;
      auto scenario = loaded(source, log);
      auto lines = lines_for_trace(scenario->scenario, command.overrides);
      jobs.push_back({std::move(scenario), std::move(lines)});
    }
    return jobs;
  }
  std::vector<std::string> tags = command.tags;
  if (command.paths.empty() && tags.empty()) tags = {"fast"};
  for (const auto& path : scenario_files(command.paths, folders.scenarios)) {
    if (!tags.empty() && !has_tag(read_scenario(path, folders.scenarios), tags)) continue;
    auto scenario = loaded(source_for(command, folders, path.string()), log);
    auto lines =
        chosen_lines(lines_of(scenario->scenario, command.overrides), command, scenario->scenario);
    jobs.push_back({std::move(scenario), std::move(lines)});
  }
  if (jobs.empty()) throw ScenarioError(text("no scenario has the tag ", joined(tags)));
  return jobs;
}

// One line of one scenario.
struct LineJob {
  const LoadedScenario& loaded;
  RunLine line;
};

// All lines, checked; those of a scenario follow each other.
std::vector<LineJob> checked_lines(const std::vector<Job>& jobs, const RunSettings& settings) {
  std::vector<LineJob> lines;
  for (const Job& job : jobs) {
    for (const RunLine& line : job.lines) {
      check_line(*job.loaded, line, settings);
      lines.push_back({*job.loaded, line});
    }
  }
  return lines;
}

int run_scenarios(const RunCommand& command, const Surroundings& surroundings) {
  const Log log(command.report.log_level);
  const std::vector<Job> jobs = jobs_of(command, surroundings.folders, log);
  RunSettings settings{command.faults, command.required, surroundings.program, surroundings.stop,
                       &log};
  const std::vector<LineJob> lines = checked_lines(jobs, settings);
  const Count count = std::ssize(lines) * command.repeat;
  ProgressDisplay progress(progress_stream(command.report, surroundings), count);
  settings.progress = &progress;
  RunPrinter printer(command.report, surroundings, progress);
  BackCheck back_check;
  run_in_order(
      {count, command.threads, surroundings.stop},
      [&](Count number) {
        const LineJob& job = lines[static_cast<std::size_t>(number % std::ssize(lines))];
        return std::vector{run_line(job.loaded, job.line, settings)};
      },
      [&](const std::vector<Outcome>& outcomes) {
        for (Outcome outcome : outcomes) {
          back_check.look(outcome);
          printer.add(outcome, ShownOutcomes::all);
        }
      });
  return printer.finish("");
}

}  // namespace

int run_command(const RunCommand& command, const Surroundings& surroundings) {
  return command.worlds ? run_worlds(command, surroundings) : run_scenarios(command, surroundings);
}

}  // namespace moe::sim
