// moebius run --worlds: made-up small worlds in the place of scenarios, every backend in each. A
// world that fails says the two numbers that make it again.

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/faults.h"
#include "sim/log.h"
#include "sim/ordered_jobs.h"
#include "sim/run_printer.h"
#include "sim/small_worlds.h"

namespace moe::sim {
namespace {

constexpr Count worlds_printed_max = 10;  // of more, only what did not pass

Scenario world_of(const RunCommand& command, Count index) {
  Scenario world = small_world(command.seed.value_or(1), index);
  world.model.dtype = command.dtype.value_or(world.model.dtype);
  world.deadline_ms = command.deadline_ms.value_or(world.deadline_ms);
  if (command.delay_max_ms) take_delay(*command.delay_max_ms, world);
  return world;
}

std::vector<std::string> reproduce(const RunCommand& command, Count index, const RunLine& line) {
  std::vector<std::string> words = {"run",
                                    "--worlds",
                                    "1",
                                    "--seed",
                                    text(command.seed.value_or(1)),
                                    "--first",
                                    text(index),
                                    "--backend",
                                    line.backend,
                                    "--communicator",
                                    line.communicator};
  if (command.dtype) words.insert(words.end(), {"--dtype", std::string(name_of(*command.dtype))});
  if (command.deadline_ms) words.insert(words.end(), {"--deadline", text(*command.deadline_ms)});
  if (command.delay_max_ms) words.insert(words.end(), {"--delay", text(*command.delay_max_ms)});
  for (const FaultSpec& fault : command.faults) {
    words.insert(words.end(), {"--fault", fault_words(fault)});
  }
  return words;
}

std::vector<Outcome> outcomes_of(const RunCommand& command, Count index,
                                 const RunSettings& settings) {
  const LoadedScenario loaded(world_of(command, index));
  std::vector<Outcome> outcomes;
  BackCheck back_check;
  for (const RunLine& line : lines_for_small_world(loaded.scenario, index, command.overrides)) {
    if (settings.stop.load()) break;
    outcomes.push_back(run_line(loaded, line, settings));
    Outcome& outcome = outcomes.back();
    back_check.look(outcome);
    outcome.reproduce = reproduce(command, index, line);
    if (!std::holds_alternative<Passed>(outcome.verdict)) {
      outcome.details.push_back(small_world_text(loaded.scenario));
    }
  }
  return outcomes;
}

// Throws for a world that cannot have what the command line asks for, before any runs.
void check_worlds(const RunCommand& command, const RunSettings& settings) {
  const bool can_be_refused = !command.faults.empty() || command.overrides.profile ||
                              command.overrides.platform || command.overrides.ranks ||
                              command.delay_max_ms;
  for (Count number = 0; can_be_refused && number < *command.worlds; ++number) {
    const Count index = command.first_world + number;
    const LoadedScenario loaded(world_of(command, index));
    for (const RunLine& line : lines_for_small_world(loaded.scenario, index, command.overrides)) {
      check_line(loaded, line, settings);
    }
  }
}

}  // namespace

int run_worlds(const RunCommand& command, const Surroundings& surroundings) {
  if (command.values.value_or(Values::integers) != Values::integers) {
    throw ScenarioError("--worlds: they are exact worlds, which have no --values real");
  }
  const Log log(command.report.log_level);
  const Count worlds = *command.worlds;
  ProgressDisplay progress(progress_stream(command.report, surroundings), worlds);
  RunSettings settings{command.faults, command.required, surroundings.program, surroundings.stop,
                       &log};
  check_worlds(command, settings);
  RunPrinter printer(command.report, surroundings, progress);
  const auto shown = worlds > worlds_printed_max ? ShownOutcomes::not_passed : ShownOutcomes::all;
  Count judged = 0;
  run_in_order(
      {worlds, command.threads, surroundings.stop},
      [&](Count number) {
        const Count index = command.first_world + number;
        const ProgressDisplay::Line line(&progress, {text("small world ", index), 0, 0});
        return outcomes_of(command, index, settings);
      },
      [&](const std::vector<Outcome>& outcomes) {
        ++judged;
        for (const Outcome& outcome : outcomes) printer.add(outcome, shown);
      });
  if (printer.count() == 0 && !surroundings.stop.load()) {
    throw ScenarioError("no backend that was asked for can take any of these worlds");
  }
  return printer.finish(text(judged, " small worlds of seed ", command.seed.value_or(1),
                             " from number ", command.first_world, " on, ", printer.count(),
                             " runs"));
}

}  // namespace moe::sim
