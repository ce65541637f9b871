// moebius run: prints each verdict as it comes. All lines are checked before the first runs, so
// that bad input stops everything before a verdict.

#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/job_place.h"
#include "sim/log.h"
#include "sim/ordered_jobs.h"
#include "sim/outcome.h"
#include "sim/run.h"
#include "sim/run_plan.h"
#include "sim/run_printer.h"

namespace moe::sim {
namespace {

// One line of one scenario.
struct LineJob {
  const LoadedScenario& loaded;
  RunLine line;
  std::string skip = {};  // why it does not run
};

// All lines, checked; those of a scenario follow each other.
std::vector<LineJob> checked_lines(const std::vector<PlannedScenario>& planned,
                                   const RunSettings& settings) {
  std::vector<LineJob> lines;
  for (const PlannedScenario& one : planned) {
    for (const RunLine& line : one.lines) {
      check_line(*one.loaded, line, settings);
      lines.push_back({*one.loaded, line});
    }
    for (const LeftOut& left : one.left_out) lines.push_back({*one.loaded, left.line, left.why});
  }
  return lines;
}

Outcome outcome_of(const LineJob& job, const RunSettings& settings) {
  if (job.skip.empty()) return run_line(job.loaded, job.line, settings);
  Outcome outcome = empty_outcome(job.loaded, job.line);
  outcome.resolved_backend.clear();
  outcome.warnings.clear();
  outcome.verdict = Skipped{job.skip};
  return outcome;
}

// A requirement that no line can miss shows nothing.
void warn_of_idle_requirements(const RunCommand& command, const std::vector<LineJob>& jobs,
                               const Log& log) {
  for (const std::string& word : command.required) {
    const auto is_on_it = [&word](const LineJob& job) {
      return name_of(job.line.device) == word || job.line.communicator == word;
    };
    if (std::ranges::any_of(jobs, is_on_it)) continue;
    log.write(LogLevel::warning, text("--require ", word,
                                      ": no run line is on it (--device and "
                                      "--communicator put lines there)"));
  }
}

int run_scenarios(const RunCommand& command, const Surroundings& surroundings) {
  const Log log(command.report.log_level);
  const std::vector<PlannedScenario> planned =
      planned_scenarios(command, surroundings.folders, log);
  RunSettings settings{command.faults, command.required, surroundings.program, surroundings.stop,
                       &log};
  const std::vector<LineJob> lines = checked_lines(planned, settings);
  warn_of_idle_requirements(command, lines, log);
  const Count count = std::ssize(lines) * command.repeat;
  ProgressDisplay progress(progress_stream(command.report, surroundings), count);
  settings.progress = &progress;
  RunPrinter printer(command.report, surroundings, progress);
  BackCheck back_check;
  run_in_order(
      {count, command.threads, surroundings.stop},
      [&](Count number) {
        const LineJob& job = lines[static_cast<std::size_t>(number % std::ssize(lines))];
        return std::vector{outcome_of(job, settings)};
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
  if (!command.alone) {
    std::optional<StoreAddress> store;
    if (!command.store.empty()) store = store_address(command.store);
    const std::optional<JobPlace> place = job_place(surroundings.environment, store);
    if (place) return run_joined(command, surroundings, *place);
  }
  return command.worlds ? run_worlds(command, surroundings) : run_scenarios(command, surroundings);
}

}  // namespace moe::sim
