// moebius run as one rank of a job: every rank plans the same lines from the same words, they meet,
// and each line runs over all of them. Rank 0 judges and prints; the others exit as it says.

#include <algorithm>
#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/commands.h"
#include "sim/faults.h"
#include "sim/joined_world.h"
#include "sim/log.h"
#include "sim/outcome.h"
#include "sim/row_named.h"
#include "sim/run_plan.h"
#include "sim/run_printer.h"

namespace moe::sim {
namespace {

using std::chrono::milliseconds;

constexpr int usual_deadline_ms = 5000;  // for ranks to come, where no scenario says

struct JoinedLine {
  const LoadedScenario& loaded;
  RunLine line;
  std::string skip;  // why not in this job; empty: it runs
};

// What this rank would run, or why it cannot.
struct Plan {
  std::vector<PlannedScenario> scenarios;
  std::vector<JoinedLine> lines;
  milliseconds deadline{usual_deadline_ms};
  std::string error;
};

std::string world_text(const WorldSpec& world) {
  std::string sizes = text("dp ", world.dp);
  for (const auto& [name, size] :
       {std::pair{"tp", world.tp}, std::pair{"pp", world.pp}, std::pair{"pcp", world.pcp}}) {
    if (size > 1) sizes += text(", ", name, " ", size);
  }
  return text(world.num_ranks(), world.num_ranks() == 1 ? " rank (" : " ranks (", sizes, ")");
}

// Why a line cannot run over the job's ranks; empty: it can.
std::string misfit(const Scenario& scenario, const RunLine& line, const JobPlace& place) {
  if (scenario.world.num_ranks() != place.size) {
    return text("its world has ", world_text(scenario.world), ", the job has ", place.size, " (",
                place.words, ")");
  }
  const CommunicatorMaker& maker =
      row_named("communicator", communicator_makers(), line.communicator);
  if (maker.needs_store) return "";
  return text("communicator ", maker.name,
              " moves rows between threads of one process; this job's ", place.size,
              " ranks are processes");
}

// Throws for what a job cannot do.
void check_options(const RunCommand& command, const JobPlace& place) {
  const auto refuse = [&place](std::string_view option, std::string_view why) {
    throw ScenarioError(text(option, ": ", why, "; this process is one of a job (", place.words,
                             "), --alone runs without it"));
  };
  if (command.worlds) refuse("--worlds", "small worlds are ranks of one process");
  if (command.threads > 1) refuse("--jobs", "a job's lines follow each other");
  if (command.overrides.ranks == RanksAre::threads)
    refuse("--ranks threads", "ranks are processes");
}

// Throws where none of the scenarios has as many ranks as the job.
void check_some_fit(const std::vector<PlannedScenario>& planned, const JobPlace& place) {
  std::vector<std::string> worlds;
  for (const PlannedScenario& one : planned) {
    const Scenario& scenario = one.loaded->scenario;
    if (scenario.world.num_ranks() == place.size) return;
    worlds.push_back(text(scenario.name, " has ", world_text(scenario.world)));
  }
  constexpr std::size_t named_max = 3;
  const std::size_t more = worlds.size() - std::min(worlds.size(), named_max);
  worlds.resize(worlds.size() - more);
  throw ScenarioError(text("no scenario fits a job of ", place.size, " ranks (", place.words,
                           "): ", joined(worlds), more == 0 ? "" : text(" and ", more, " more"),
                           "; --alone runs without the job"));
}

// A line as this job runs it: where the scenario says threads of a communicator that processes have
// too, its ranks are the job's.
std::vector<RunLine> lines_in_job(const std::vector<RunLine>& lines) {
  std::vector<RunLine> changed;
  for (RunLine line : lines) {
    const auto& maker = row_named("communicator", communicator_makers(), line.communicator);
    if (maker.needs_store) line.ranks = RanksAre::processes;
    add_line(changed, line, {});
  }
  return changed;
}

Plan plan_of(const RunCommand& command, const Surroundings& surroundings, const JobPlace& place,
             const RunSettings& settings) {
  Plan plan;
  if (command.deadline_ms) plan.deadline = milliseconds(*command.deadline_ms);
  try {
    check_options(command, place);
    plan.scenarios = planned_scenarios(command, surroundings.folders, *settings.log);
    check_some_fit(plan.scenarios, place);
    for (const PlannedScenario& one : plan.scenarios) {
      const Scenario& scenario = one.loaded->scenario;
      plan.deadline = std::max(plan.deadline, milliseconds(scenario.deadline_ms));
      for (const RunLine& line : lines_in_job(one.lines)) {
        std::string skip = misfit(scenario, line, place);
        if (skip.empty()) check_line(*one.loaded, line, settings);
        plan.lines.push_back({*one.loaded, line, std::move(skip)});
      }
      for (const LeftOut& left : one.left_out) {
        plan.lines.push_back({*one.loaded, left.line, left.why});
      }
    }
  } catch (const ScenarioError& error) {
    plan.error = error.what();
  }
  if (command.deadline_ms) plan.deadline = milliseconds(*command.deadline_ms);
  return plan;
}

// All that must be the same on every rank.
std::string words_of(const JoinedLine& job, const RunCommand& command) {
  const auto& [loaded, line, skip] = job;
  const Scenario& scenario = loaded.scenario;
  std::vector<std::string> words = {scenario.name,
                                    scenario.sha256.substr(0, 12),
                                    line.backend,
                                    line.communicator,
                                    std::string(name_of(line.device)),
                                    line.profile,
                                    line.platform,
                                    std::string(name_of(line.selection)),
                                    std::string(name_of(line.dispatch_site)),
                                    std::string(name_of(scenario.model.dtype)),
                                    scenario.values == Values::real ? "real" : "integers",
                                    text("seed ", scenario.seed),
                                    text("deadline ", scenario.deadline_ms),
                                    text("delay ", scenario.delay_max_ms),
                                    text("steps ", loaded.inputs.num_steps())};
  Count rows = 0;
  for (int step = 0; step < loaded.inputs.num_steps(); ++step) {
    rows += total_rows(loaded.inputs.tokens(step));
  }
  words.push_back(text("tokens ", rows));
  for (const FaultSpec& fault : command.faults) words.push_back(text("fault ", fault_words(fault)));
  if (command.repeat > 1) words.push_back(text("repeat ", command.repeat));
  if (!skip.empty()) words.emplace_back("skipped");
  return joined(words, " ");
}

Arrival arrival_of(const Plan& plan, const RunCommand& command) {
  Arrival arrival{{}, plan.error};
  for (const JoinedLine& line : plan.lines) arrival.plan.push_back(words_of(line, command));
  return arrival;
}

Outcome skipped(const JoinedLine& job, const std::string& why) {
  Outcome outcome = empty_outcome(job.loaded, job.line);
  outcome.verdict = Skipped{why};
  return outcome;
}

class JoinedRun {
 public:
  JoinedRun(const RunCommand& command, const Surroundings& surroundings, const JobPlace& place)
      : command_(command), surroundings_(surroundings), place_(place) {}

  int run() {
    plan_ = plan_of(command_, surroundings_, place_, settings_);
    if (!plan_.error.empty()) say(plan_.error);
    try {
      JoinedWorld world(place_, plan_.deadline, surroundings_.stop);
      settings_.joined = &world;
      return place_.rank == 0 ? run_first(world) : run_other(world);
    } catch (const SystemError& error) {
      if (!plan_.error.empty()) return 2;
      return lost(error);
    }
  }

 private:
  void say(const std::string& words) const {
    std::cerr << text("moebius: rank ", place_.rank, " of ", place_.size, ": ", words, "\n");
  }

  bool is_stopped() const { return surroundings_.stop.load(); }

  int lost(const SystemError& error) const {
    if (is_stopped()) return 130;
    say(error.what());
    return 3;
  }

  // Rank 0: whatever happens, the others hear how it ended.
  int run_first(JoinedWorld& world) {
    int code = 4;
    std::string why = "its lines are done";
    try {
      world.meet(arrival_of(plan_, command_));
      code = run_lines(world);
    } catch (const ScenarioError& error) {
      if (plan_.error.empty()) say(error.what());
      code = 2;
      why = error.what();
    } catch (const SystemError& error) {
      code = lost(error);
      why = error.what();
    } catch (const std::exception& error) {
      say(error.what());
      why = error.what();
    }
    world.end(code, why);
    return code;
  }

  int run_lines(JoinedWorld& world) {
    const Count count = std::ssize(plan_.lines) * command_.repeat;
    ProgressDisplay progress(progress_stream(command_.report, surroundings_), count);
    settings_.progress = &progress;
    RunPrinter printer(command_.report, surroundings_, progress);
    BackCheck back_check;
    for (Count number = 0; number < count && !is_stopped(); ++number) {
      const JoinedLine& job =
          plan_.lines[static_cast<std::size_t>(number % std::ssize(plan_.lines))];
      const std::string broken = world.broken();
      const std::string why =
          !job.skip.empty() || broken.empty() ? job.skip : text("not run: ", broken);
      Outcome outcome = why.empty() ? run_line(job.loaded, job.line, settings_) : skipped(job, why);
      back_check.look(outcome);
      progress.hidden_while([&] { tell_error(outcome); });
      printer.add(outcome, ShownOutcomes::all);
    }
    return printer.finish("");
  }

  int run_other(JoinedWorld& world) {
    try {
      world.meet(arrival_of(plan_, command_));
      for (int time = 0; time < command_.repeat; ++time) {
        for (const JoinedLine& job : plan_.lines) {
          if (is_stopped()) return 130;
          if (job.skip.empty()) tell_error(run_line(job.loaded, job.line, settings_));
        }
      }
      return world.wait_for_end();
    } catch (const SystemError& error) {
      if (!world.ended_with()) throw;
      if (*world.ended_with() > 1 && plan_.error.empty()) say(error.what());
      return *world.ended_with();
    }
  }

  // What this rank knows of a wire or a peer that failed, where launchers look for it; verdicts are
  // rank 0's to tell.
  void tell_error(const Outcome& outcome) const {
    const auto* error = std::get_if<Errored>(&outcome.verdict);
    if (error != nullptr && error->exit_code >= 3 && !is_stopped()) say(error->reason);
  }

  const RunCommand& command_;
  const Surroundings& surroundings_;
  const JobPlace& place_;
  Plan plan_;
  Log log_{command_.report.log_level};
  RunSettings settings_{command_.faults, command_.required, surroundings_.program,
                        surroundings_.stop, &log_};
};

}  // namespace

int run_joined(const RunCommand& command, const Surroundings& surroundings, const JobPlace& place) {
  return JoinedRun(command, surroundings, place).run();
}

}  // namespace moe::sim
