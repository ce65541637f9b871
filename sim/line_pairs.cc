// Relatives that a backend refuses (too many rows for its room, three ranks) are left out; where it
// takes none of a change, the scenario asks for what cannot be.

#include "sim/line_pairs.h"

#include <algorithm>

#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/faults.h"
#include "sim/rank_worlds.h"
#include "sim/relatives.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

// The line of a relative: on local ranks; one rank has nobody to send to.
RunLine relative_line(const RunLine& line, const WorldSpec& world) {
  RunLine other = line;
  other.communicator = "local";
  other.ranks = RanksAre::threads;
  if (world.num_ranks() / world.pp == 1) {
    other.backend = "no_ep";
    other.profile = default_profile;
  }
  return other;
}

// What is wrong with a relative's outputs, or why its backend refuses it.
struct Compared {
  std::string refusal;
  std::string difference;
};

Compared compared_with(const Relative& relative, const RanLine& ran,
                       const std::vector<RankOutputs>& ones) {
  const LoadedScenario loaded(relative.scenario);
  const RunLine line = relative_line(ran.line, relative.scenario.world);
  try {
    check_line(loaded, line, {{}, {}, "", ran.stop});
  } catch (const ScenarioError& error) {
    return {.refusal = error.what(), .difference = {}};
  }
  const RankJob job{loaded.scenario,
                    ran.faults,
                    loaded.inputs,
                    nullptr,
                    *backend_choice(loaded.scenario, line).backend,
                    line,
                    ran.stop};
  std::vector<RankOutputs> others;
  for (const RankReport& report :
       run_threads(job, row_named("communicator", communicator_makers(), "local"))) {
    if (report.failure.kind != FailureKind::none) {
      return {{}, text("rank ", report.rank, " fails there: ", report.failure.message)};
    }
    others.push_back(report.outputs);
  }
  return {
      {},
      row_difference({ones, ran.loaded.scenario.world.tp}, {others, relative.scenario.world.tp})};
}

// Holds the line against the worlds of one change. RETURNS why there is none that it can be held
// against; empty where there is.
std::string compare_under(const std::string& change, const RanLine& ran,
                          const std::vector<RankOutputs>& ones, CheckLedger& ledger) {
  const Scenario& scenario = ran.loaded.scenario;
  const Capabilities& capabilities = ran.backend.capabilities;
  std::string why = change == "placement"
                        ? "model.placement linear and round_robin are the same there"
                        : "there is no such world";
  int num_compared = 0;
  for (const Relative& relative : relatives_of(scenario, change, capabilities)) {
    const Compared compared = compared_with(relative, ran, ones);
    if (!compared.refusal.empty()) {
      why = compared.refusal;
      continue;
    }
    ++num_compared;
    ledger.looked(relative.check);
    if (compared.difference.empty()) continue;
    ledger.found(relative.check, {},
                 text("not the same ", relative.words, ": ", compared.difference));
  }
  return num_compared > 0 ? "" : why;
}

// Whether the line beside it was interrupted. Throws where it failed: nothing could be compared.
bool is_interrupted(const Scenario& scenario, const std::vector<RankReport>& healthy) {
  for (const RankReport& report : healthy) {
    if (report.failure.kind == FailureKind::none) continue;
    if (report.failure.kind == FailureKind::interrupted) return true;
    throw ScenarioError(text(scenario.place_of("faults"),
                             ": M-BACK: the line without faults fails "
                             "on rank ",
                             report.rank, ": ", report.failure.message));
  }
  return false;
}

}  // namespace

void compare_with_healthy(const RanLine& ran, std::vector<RankReport>& reports) {
  const bool is_asked = std::ranges::any_of(ran.faults, [](const FaultSpec& fault) {
    return std::ranges::count(fault_row(fault.name).killed_by, "M-BACK") > 0;
  });
  if (!is_asked) return;
  RunLine line = ran.line;
  line.communicator = "local";
  line.ranks = RanksAre::threads;
  line.selection = Selection::modular;
  const std::vector<FaultSpec> none;
  const RankJob job{ran.loaded.scenario, none, ran.loaded.inputs, nullptr,
                    ran.backend,         line, ran.stop};
  const auto healthy = run_threads(job, row_named("communicator", communicator_makers(), "local"));
  if (is_interrupted(ran.loaded.scenario, healthy)) return;
  std::vector<RankOutputs> ones;
  std::vector<RankOutputs> others;
  for (const RankReport& report : reports) ones.push_back(report.outputs);
  for (const RankReport& report : healthy) others.push_back(report.outputs);
  const std::string difference = output_difference(ones, others);
  CheckLedger& ledger = reports.front().ledger;
  ledger.looked("M-BACK");
  if (!difference.empty())
    ledger.found("M-BACK", {}, text("not what a healthy line gives: ", difference));
}

bool differs_from_healthy(const RanLine& ran, const std::vector<RankReport>& reports) {
  RunLine line = ran.line;
  line.ranks = RanksAre::threads;
  const std::vector<FaultSpec> none;
  const RankJob job{ran.loaded.scenario, none, ran.loaded.inputs, nullptr,
                    ran.backend,         line, ran.stop};
  const auto healthy =
      run_threads(job, row_named("communicator", communicator_makers(), line.communicator));
  if (is_interrupted(ran.loaded.scenario, healthy)) return true;
  const auto digest = [](const RankReport& report) { return report.outputs.digest; };
  return !std::ranges::equal(reports, healthy, {}, digest, digest);
}

void compare_with_relatives(const RanLine& ran, std::vector<RankReport>& reports) {
  const auto failed = [](const RankReport& one) { return one.failure.kind != FailureKind::none; };
  if (std::ranges::any_of(reports, failed)) return;
  std::vector<RankOutputs> ones;
  for (const RankReport& report : reports) ones.push_back(report.outputs);
  CheckLedger& ledger = reports.front().ledger;
  const Scenario& scenario = ran.loaded.scenario;
  for (const std::string& change : scenario.same_under) {
    const std::string why = compare_under(change, ran, ones, ledger);
    if (why.empty()) continue;
    throw ScenarioError(text(scenario.place_of("same_under"), ": same_under: backend ",
                             ran.line.backend, " takes no world that ", change,
                             " asks for: ", why));
  }
}

}  // namespace moe::sim
