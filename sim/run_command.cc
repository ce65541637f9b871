// moebius run: which scenarios, which lines, in which order; prints each verdict as it comes.
// All scenarios are loaded and all lines checked before the first runs, so that bad input stops
// everything before a verdict.

#include <algorithm>
#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/report.h"
#include "sim/run.h"
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
  return {folders, path, command.trace, command.dtype, command.seed, command.deadline_ms};
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

// One scenario with the lines to run.
struct Job {
  std::unique_ptr<LoadedScenario> loaded;
  std::vector<RunLine> lines;
};

std::vector<Job> jobs_of(const RunCommand& command, const DataFolders& folders) {
  std::vector<Job> jobs;
  if (command.paths.empty() && !command.trace.empty()) {
    auto loaded = std::make_unique<LoadedScenario>(source_for(command, folders, ""));
    auto lines = lines_for_trace(loaded->scenario, command.overrides);
    jobs.push_back({std::move(loaded), std::move(lines)});
    return jobs;
  }
  std::vector<std::string> tags = command.tags;
  if (command.paths.empty() && tags.empty()) tags = {"fast"};
  for (const auto& path : scenario_files(command.paths, folders.scenarios)) {
    if (!tags.empty() && !has_tag(read_scenario(path, folders.scenarios), tags)) continue;
    auto loaded = std::make_unique<LoadedScenario>(source_for(command, folders, path.string()));
    auto lines =
        chosen_lines(lines_of(loaded->scenario, command.overrides), command, loaded->scenario);
    jobs.push_back({std::move(loaded), std::move(lines)});
  }
  if (jobs.empty()) throw ScenarioError(text("no scenario has the tag ", joined(tags)));
  return jobs;
}

// Where results go: text for people, JSON for programs, XML for build servers.
class Printer {
 public:
  Printer(const ReportOptions& options, const Surroundings& surroundings)
      : options_(options),
        ansi_(ansi(options.color, surroundings)),
        json_(options.json),
        junit_(options.junit) {}

  void add(const Outcome& outcome) {
    summary_.add(outcome.verdict);
    json_.write(outcome_json(outcome));
    junit_.add(outcome);
    const bool passed = std::holds_alternative<Passed>(outcome.verdict);
    if (json_.is_on_standard_output() || (options_.quiet && passed)) return;
    std::cout << outcome_text(outcome, ansi_) << std::endl;
  }

  void finish() {
    json_.write(summary_json(summary_));
    if (!json_.is_on_standard_output()) std::cout << summary_text(summary_) << std::endl;
    json_.finish();
    junit_.finish();
  }

 private:
  static Ansi ansi(Color color, const Surroundings& surroundings) {
    const bool automatic = surroundings.is_terminal && !surroundings.no_color;
    const bool colored = color == Color::always || (color == Color::automatic && automatic);
    return colored ? Ansi::colored : Ansi::plain;
  }

  ReportOptions options_;
  Ansi ansi_;
  JsonLines json_;
  JunitReport junit_;
  Summary summary_;
};

}  // namespace

int run_command(const RunCommand& command, const Surroundings& surroundings) {
  const std::vector<Job> jobs = jobs_of(command, surroundings.folders);
  const RunSettings settings{command.faults, command.required, surroundings.program,
                             surroundings.stop};
  for (const Job& job : jobs) {
    for (const RunLine& line : job.lines) check_line(*job.loaded, line, settings);
  }
  Printer printer(command.report, surroundings);
  std::vector<Outcome> outcomes;
  for (int turn = 0; turn < command.repeat; ++turn) {
    for (const Job& job : jobs) {
      for (const RunLine& line : job.lines) {
        if (surroundings.stop.load()) break;
        outcomes.push_back(run_line(*job.loaded, line, settings));
        printer.add(outcomes.back());
      }
    }
  }
  printer.finish();
  return surroundings.stop.load() ? 130 : exit_code_of(outcomes);
}

}  // namespace moe::sim
