// One run line: refuse or skip, start its world, read the reports.
// How reports become a verdict is outcome.cc.

#include "sim/run.h"

#include <algorithm>
#include <utility>

#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/capacity.h"
#include "sim/deployment_rules.h"
#include "sim/eplb_rules.h"
#include "sim/expectation.h"
#include "sim/fault_room.h"
#include "sim/faults.h"
#include "sim/joined_world.h"
#include "sim/lack.h"
#include "sim/line_pairs.h"
#include "sim/machine_memory.h"
#include "sim/outcome.h"
#include "sim/progress_check.h"
#include "sim/rank_limits.h"
#include "sim/rank_worlds.h"
#include "sim/room_estimate.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

// What a check says, at the scenario's key.
template <typename Check>
void check_at(const Scenario& scenario, const std::string& key, Check check) {
  try {
    check();
  } catch (const ScenarioError& error) {
    throw ScenarioError(text(scenario.place_of(key), ": ", error.what()));
  }
}

// Faults and backends of the file itself, before its golden is looked for.
Scenario with_known_names(Scenario scenario) {
  for (std::size_t i = 0; i < scenario.faults.size(); ++i) {
    check_at(scenario, text("faults[", i, "]"), [&] { check_fault(scenario.faults[i]); });
  }
  for (std::size_t i = 0; i < scenario.runs.size(); ++i) {
    check_at(scenario, text("runs[", i, "].backend"),
             [&] { check_backend_name(scenario.runs[i].backend); });
  }
  return scenario;
}

// All faults of a run: the scenario's and the command line's.
std::vector<FaultSpec> faults_of(const Scenario& scenario, const RunSettings& settings) {
  std::vector<FaultSpec> faults = scenario.faults;
  faults.insert(faults.end(), settings.faults.begin(), settings.faults.end());
  return faults;
}

// Where the scenario writes that key of the line; its file where it writes no such line.
std::string key_place(const Scenario& scenario, const RunLine& line, std::string_view key) {
  for (std::size_t i = 0; i < scenario.runs.size(); ++i) {
    const RunLine& written = scenario.runs[i];
    const bool is_it = written.backend == line.backend && written.selection == line.selection &&
                       written.dispatch_site == line.dispatch_site &&
                       written.profile == line.profile && written.platform == line.platform;
    if (is_it) return text(scenario.place_of(text("runs[", i, "].", key)), ": runs[", i, "].", key);
  }
  return scenario.path.empty() ? scenario.name : scenario.path;
}

// Throws where vLLM does not put gathered rows into the batched format by itself.
void refuse_local_batches(const Scenario& scenario, const RunLine& line) {
  const auto& quantization = scenario.model.quantization;
  std::string why;
  if (platform_named(line.platform) != Platform::xpu) {
    why = text("is XPU's form (moe_backend=batched_triton), not platform ", line.platform, "'s");
  } else if (line.selection == Selection::monolithic) {
    why = "goes with modular experts: the batched ones do not select";
  } else if (quantization.activations != QuantRecipe::none ||
             quantization.weights != QuantRecipe::none) {
    why = "is not here for quantised rows or weights (model.quantization)";
  }
  if (why.empty()) return;
  throw ScenarioError(text(key_place(scenario, line, "dispatch_site"), ": runner_batched ", why));
}

// Throws for a world that the profile does not have and a backend that it does not give.
void refuse_decision(const Scenario& scenario, const RunLine& line, const BackendChoice& choice) {
  if (!choice.decision.error.empty()) {
    throw ScenarioError(text(key_place(scenario, line, "backend"), ": ", choice.decision.error));
  }
  if (scenario.world.sequence_parallel && !profile_named(line.profile).has_sequence_parallel) {
    throw ScenarioError(text(key_place(scenario, line, "profile"), ": profile ", line.profile,
                             " has no sequence-parallel MoE (since #24134)"));
  }
  const RuleRefusal refusal = rule_refusal(scenario, line);
  if (refusal.why.empty()) return;
  const bool is_of_line = refusal.key.find('.') == std::string::npos;
  throw ScenarioError(text(is_of_line ? key_place(scenario, line, refusal.key)
                                      : text(scenario.place_of(refusal.key), ": ", refusal.key),
                           ": ", refusal.why));
}

// Throws for a backend whose rooms this machine cannot hold.
void refuse_room(const LoadedScenario& loaded, const RunLine& line, const BackendChoice& choice) {
  const Scenario& scenario = loaded.scenario;
  const std::string reason =
      room_refusal(estimated_room(scenario, loaded.inputs, choice.backend->capabilities,
                                  profile_named(line.profile)),
                   machine_memory_bytes());
  if (reason.empty()) return;
  throw ScenarioError(text(key_place(scenario, line, "backend"), ": backend ",
                           choice.decision.backend, " ", reason));
}

// Throws for what no build could run.
void refuse(const LoadedScenario& loaded, const RunLine& line) {
  const Scenario& scenario = loaded.scenario;
  check_ranks(scenario);
  check_eplb(scenario);
  const bool is_trace = std::holds_alternative<TraceRouting>(scenario.routing);
  const std::string where = scenario.path.empty() ? scenario.name : scenario.path;
  if (line.communicator == "local" && line.ranks == RanksAre::processes) {
    throw ScenarioError(text(where, ": communicator local has threads only; processes need gloo"));
  }
  if (scenario.path.empty() && !is_trace && line.ranks == RanksAre::processes) {
    throw ScenarioError(text(where, ": a scenario without a file runs on threads only"));
  }
  if (const auto [key, why] = why_without_eplb(scenario, line); !why.empty()) {
    throw ScenarioError(text(key_place(scenario, line, key), ": ", why));
  }
  const BackendChoice choice = backend_choice(scenario, line);
  refuse_decision(scenario, line, choice);
  if (choice.backend == nullptr) return;  // skipped with its reason
  const Backend& backend = *choice.backend;
  const Capabilities& capabilities = backend.capabilities;
  check_capacity(scenario, loaded.inputs, backend, line);
  std::string reason =
      backend_refusal(scenario, capabilities, profile_named(line.profile), line.dispatch_site);
  if (reason.empty()) reason = scales_refusal(scenario, line, backend);
  if (!reason.empty()) {
    throw ScenarioError(
        text(key_place(scenario, line, "backend"), ": backend ", line.backend, " ", reason));
  }
  if (line.selection == Selection::monolithic && !capabilities.takes_router_logits) {
    throw ScenarioError(text(key_place(scenario, line, "selection"), ": backend ", line.backend,
                             " does not carry router logits, so that experts cannot select"));
  }
  const bool asks_backend =
      scenario.world.dp > 1 || capabilities.dispatch_reach == DispatchReach::owner_ranks;
  if (line.dispatch_site != DispatchSite::kernel && asks_backend &&
      backend.make_manager == nullptr) {
    throw ScenarioError(text(key_place(scenario, line, "dispatch_site"), ": backend ", line.backend,
                             " has no dispatch outside its kernel for the runner to call"));
  }
  if (line.dispatch_site == DispatchSite::runner_batched) refuse_local_batches(scenario, line);
  if (!capabilities.moves_between_dp_ranks && scenario.world.dp > 1) {
    throw ScenarioError(text(key_place(scenario, line, "backend"), ": backend ", line.backend,
                             " moves nothing between DP ranks and needs world.dp 1, not ",
                             scenario.world.dp));
  }
  if (line.selection == Selection::monolithic && scenario.model.router_weight_on_input) {
    throw ScenarioError(text(key_place(scenario, line, "selection"),
                             ": monolithic experts select after dispatch, too late for "
                             "model.router_weight_on_input"));
  }
  refuse_room(loaded, line, choice);
}

// What the line will do, for whoever watches.
LineWork work_of(const LoadedScenario& loaded, const RunLine& line) {
  const WorldInputs& inputs = loaded.inputs;
  LineWork work{.words = text(loaded.scenario.name, " ", line.backend, " ", line.communicator, " ",
                              loaded.scenario.world.num_ranks(), " ",
                              line.ranks == RanksAre::threads ? "threads" : "processes"),
                .steps = inputs.num_steps()};
  for (int step = 0; step < work.steps; ++step) {
    work.rows += total_rows(inputs.tokens(step)) * inputs.num_layers();
  }
  return work;
}

void log_ends(const std::vector<RankReport>& reports, const Log& log) {
  for (const RankReport& report : reports) {
    const bool ended_well = report.failure.kind == FailureKind::none;
    log.write(LogLevel::debug,
              text("rank ", report.rank, " ", ended_well ? "finished" : report.failure.message,
                   ", rows judged: ", report.rows, ", last: ", report.last_operation));
  }
}

// Entries in the row counts of a dispatch.
Count counts_of_dispatch(const WorldSpec& world) {
  const FusedMoEParallelConfig parallel = make_parallel_config(world.deployment(), 0);
  const std::vector<Count> tokens(static_cast<std::size_t>(world.dp), 0);
  return std::ssize(dispatch_sizes(parallel, tokens));
}

FaultLimits fault_limits(const LoadedScenario& loaded) {
  const Scenario& scenario = loaded.scenario;
  return {.ranks = scenario.world.num_ranks(),
          .counts = counts_of_dispatch(scenario.world),
          .experts = scenario.model.num_experts,
          .steps = loaded.inputs.num_steps(),
          .layers = loaded.inputs.num_layers(),
          .columns = scenario.model.hidden_size,
          .bits = 8 * size_of(scenario.model.dtype),
          .tokens = [&loaded](int step, int rank) {
            const ParallelSizes sizes = loaded.scenario.world.deployment().sizes;
            const int dp = coordinates_of(sizes, rank).dp;
            return loaded.inputs.tokens(step)[static_cast<std::size_t>(dp)];
          }};
}

// What the scenario itself asks for in a line, which must be possible.
void check_written(const LoadedScenario& loaded, const RunLine& line) {
  const Scenario& scenario = loaded.scenario;
  if (!std::holds_alternative<ExpectedError>(scenario.end)) refuse(loaded, line);
  const FaultLimits limits = fault_limits(loaded);
  for (std::size_t i = 0; i < scenario.faults.size(); ++i) {
    check_at(scenario, text("faults[", i, "]"),
             [&] { check_fault_fits(scenario.faults[i], limits); });
  }
}

}  // namespace

LoadedScenario::LoadedScenario(const ScenarioSource& from)
    : source(from), scenario(with_known_names(load_scenario(from))), inputs(scenario) {
  check_capacity(scenario, inputs);
  try {
    golden = load_golden(from, scenario);
  } catch (const ScenarioError&) {
    // What cannot run needs no golden: that is the first thing to know.
    for (const RunLine& line : lines_of(scenario, {})) check_written(*this, line);
    throw;
  }
  if (golden) check_routing_digests(*golden, inputs, scenario);
}

LoadedScenario::LoadedScenario(Scenario made)
    : scenario(with_known_names(std::move(made))), inputs(scenario) {
  check_world(scenario);
  check_capacity(scenario, inputs);
}

std::string line_refusal(const LoadedScenario& loaded, const RunLine& line) {
  try {
    refuse(loaded, line);
  } catch (const ScenarioError& error) {
    return error.what();
  }
  return backend_choice(loaded.scenario, line).absence;
}

void check_line(const LoadedScenario& loaded, const RunLine& line, const RunSettings& settings) {
  check_written(loaded, line);
  const FaultLimits limits = fault_limits(loaded);
  for (const FaultSpec& fault : settings.faults) check_fault_fits(fault, limits);
}

namespace {

// Why a fault of the command line cannot be tried here: it has nothing to act on, or the line's
// own end could not be told from it. Empty where it can.
std::string why_not_seeded(const LoadedScenario& loaded, const RunLine& line,
                           const RunSettings& settings) {
  if (settings.faults.empty()) return "";
  const ExpectedEnd& end = loaded.scenario.end;
  if (std::holds_alternative<ExpectedDifference>(end) ||
      std::holds_alternative<ExpectedError>(end)) {
    return "no fault is seeded where the scenario expects an error or a difference of its own";
  }
  const BackendChoice choice = backend_choice(loaded.scenario, line);
  if (choice.backend == nullptr) return "";  // refused below
  const FaultRoom room{loaded.scenario, loaded.inputs, line, choice.backend->capabilities};
  for (const FaultSpec& fault : settings.faults) {
    const std::string why = why_without_room(fault, room);
    if (!why.empty()) return text("fault ", fault.name, " has nothing to act on: ", why);
  }
  return "";
}

// Starts the ranks of a line that nothing refuses, and reads what they say.
void run_ranks_of(const LoadedScenario& loaded, const RunLine& line, const RunSettings& settings,
                  Outcome& outcome) {
  const Scenario& scenario = loaded.scenario;
  const BackendChoice choice = backend_choice(scenario, line);
  const CommunicatorMaker& maker =
      row_named("communicator", communicator_makers(), line.communicator);
  if (const Lack lack = lack_of(scenario, line, settings.joined == nullptr); !lack.reason.empty()) {
    outcome.verdict = lack.is_required(settings.required)
                          ? Verdict(Failed{text("required, but ", lack.reason)})
                          : Verdict(Skipped{lack.reason});
    return;
  }
  const std::vector<FaultSpec> faults = faults_of(scenario, settings);
  const LineWork work = work_of(loaded, line);
  const ProgressDisplay::Line shown(settings.progress, work);
  if (settings.log != nullptr) {
    settings.log->write(LogLevel::info, text("ranks start: ", work.words));
    for (const std::string& note : rule_words(scenario, line, FindingKind::info)) {
      settings.log->write(LogLevel::info, note);
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  const RankJob job{
      scenario,        faults, loaded.inputs, loaded.golden ? &*loaded.golden : nullptr,
      *choice.backend, line,   settings.stop, shown.progress()};
  std::vector<RankReport> reports;
  if (line.ranks == RanksAre::threads) {
    reports = run_threads(job, maker);
  } else if (settings.joined != nullptr) {
    reports = settings.joined->run(job, maker);
  } else {
    reports = run_processes(
        {loaded.source, line, faults},
        {settings.program, scenario.world.num_ranks(),
         std::chrono::milliseconds(scenario.deadline_ms), settings.stop, maker.ending});
  }
  outcome.elapsed = std::chrono::steady_clock::now() - begin;
  compare_with_healthy({loaded, line, *choice.backend, faults, settings.stop}, reports);
  if (settings.joined == nullptr) {
    compare_with_relatives({loaded, line, *choice.backend, faults, settings.stop}, reports);
  }
  check_progress(reports);
  if (settings.log != nullptr) log_ends(reports, *settings.log);
  read_reports(reports, outcome);
  decide(reports, {scenario.faults, settings.faults}, outcome);
  if (settings.joined != nullptr || !is_unnamed(outcome.verdict)) return;
  weigh_effect(
      settings.faults,
      differs_from_healthy({loaded, line, *choice.backend, faults, settings.stop}, reports),
      outcome);
}

}  // namespace

Outcome run_line(const LoadedScenario& loaded, const RunLine& line, const RunSettings& settings) {
  check_line(loaded, line, settings);
  Outcome outcome = empty_outcome(loaded, line);
  for (const FaultSpec& fault : settings.faults) {
    outcome.reproduce.insert(outcome.reproduce.end(), {"--fault", fault_words(fault)});
  }
  if (const std::string why = why_not_seeded(loaded, line, settings); !why.empty()) {
    outcome.verdict = Skipped{why};
    return outcome;
  }
  try {
    refuse(loaded, line);  // where an error is expected the check above let it pass
    run_ranks_of(loaded, line, settings, outcome);
  } catch (const ScenarioError& error) {
    outcome.verdict = Errored{error.what(), 2};
  }
  // A rank may have fallen to the same Ctrl-C before this process looked.
  const bool is_error = std::holds_alternative<Errored>(outcome.verdict);
  if (settings.stop.load() && is_error) outcome.verdict = Errored{"interrupted", 130};
  if (settings.faults.empty()) hold_to_expected_end(loaded.scenario.end, outcome);
  return outcome;
}

}  // namespace moe::sim
