// The verdict. Without a fault: a failure of a rank, then a check's finding, then a difference.
// With one: what a check names is read first, whatever else followed from it.

#include "sim/outcome.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/deployment_rules.h"
#include "sim/faults.h"

namespace moe::sim {
namespace {

constexpr std::size_t details_kept = 8;
constexpr std::string_view survived_unnamed = "SURVIVED: no check names ";

// Checks that look at what layers give, and at nothing on the way there.
constexpr std::array checks_of_outputs = {"REF", "ORDER", "WONCE", "LIN", "TWICE", "M-BACK"};

const RankFailure* first_failure(const std::vector<RankReport>& reports) {
  const RankFailure* first = nullptr;
  for (const RankReport& report : reports) {
    if (report.failure.kind == FailureKind::none) continue;
    if (first == nullptr || report.failure.at_ns < first->at_ns) first = &report.failure;
  }
  return first;
}

// The deadlock report: for each rank how it ended and the operation it entered last.
void add_rank_ends(const std::vector<RankReport>& reports, Outcome& outcome) {
  for (const RankReport& report : reports) {
    const std::string last =
        report.last_operation.empty() ? "" : text("; last: ", report.last_operation);
    const bool ended_well = report.failure.kind == FailureKind::none;
    outcome.details.push_back(
        text("rank ", report.rank, ": ", ended_well ? "finished" : report.failure.message, last));
  }
}

Errored errored(const RankFailure& failure) {
  switch (failure.kind) {
    case FailureKind::input:
      return {failure.message, 2};
    case FailureKind::system:
    case FailureKind::refused:
      return {failure.message, 3};
    case FailureKind::interrupted:
      return {"interrupted", 130};
    default:
      return {failure.message, 4};
  }
}

std::set<std::string> killers_of(const SeededFaults& faults) {
  std::set<std::string> killers;
  for (const std::vector<FaultSpec>* specs : {&faults.expected, &faults.requested}) {
    for (const FaultSpec& fault : *specs) {
      const FaultRow& row = fault_row(fault.name);
      killers.insert(row.killed_by.begin(), row.killed_by.end());
    }
  }
  return killers;
}

// killers: checks of the seeded faults' rows, whose findings come first. Of the others the judge's
// come late, and TWICE's last: other bits the second time say less than what is wrong.
void add_findings(const std::vector<RankReport>& reports, const std::set<std::string>& killers,
                  Outcome& outcome) {
  struct Said {
    std::string check;
    std::string sentence;
  };
  std::vector<Said> all;
  std::vector<Said> last;
  CheckLedger ledger;
  for (const RankReport& report : reports) ledger.merge(report.ledger);
  for (const CheckFinding& finding : ledger.findings()) {
    std::vector<Said>& to = finding.check == "TWICE" ? last : all;
    to.push_back({finding.check, text(finding.check, ": ", finding.sentence)});
  }
  for (const RankReport& report : reports) {
    for (const CellFinding& finding : report.findings) {
      all.push_back({std::string(judge_check.name), finding.sentence});
    }
  }
  all.insert(all.end(), last.begin(), last.end());
  std::ranges::stable_partition(all,
                                [&](const Said& said) { return killers.contains(said.check); });
  std::set<std::string> seen;  // every rank may have seen the same disagreement
  for (const Said& said : all) {
    if (seen.insert(said.sentence).second) outcome.details.push_back(said.sentence);
  }
  if (outcome.details.size() > details_kept) {
    const std::size_t more = outcome.details.size() - details_kept;
    outcome.details.resize(details_kept);
    outcome.details.push_back(text("and ", more, " more findings"));
  }
}

// The first differing element; where none differs, the one with the largest share of its bound.
void note_worst(const std::vector<RankReport>& reports, Outcome& outcome) {
  for (const RankReport& report : reports) {
    for (const CellFinding& finding : report.findings) {
      if (!finding.mismatch) continue;
      if (outcome.worst && !(finding.cell < outcome.worst->cell)) continue;
      outcome.worst = LocatedElement{finding.cell, *finding.mismatch};
    }
  }
  if (outcome.worst) return;
  for (const RankReport& report : reports) {
    if (!report.nearest) continue;
    if (outcome.worst && report.nearest->mismatch.share() <= outcome.worst->mismatch.share()) {
      continue;
    }
    outcome.worst = report.nearest;
  }
}

// Names of the checks that found something; REF stands for the judge.
std::set<std::string> named_checks(const std::vector<RankReport>& reports) {
  std::set<std::string> named;
  for (const RankReport& report : reports) {
    for (const auto& [check, count] : report.ledger.counts()) {
      if (count > 0) named.insert(check);
    }
    if (report.differing_cells > 0) named.insert(std::string(judge_check.name));
  }
  return named;
}

// Each fault must be named by a check of its own row; what another fault's check finds is not
// enough.
Verdict held_to_its_row(const std::set<std::string>& named, const std::vector<FaultSpec>& faults) {
  for (const FaultSpec& fault : faults) {
    const FaultRow& row = fault_row(fault.name);
    const auto is_named = [&named](std::string_view check) {
      return named.contains(std::string(check));
    };
    if (std::ranges::any_of(row.killed_by, is_named)) continue;
    return Failed{text("SURVIVED: ", fault.name, " must be named by ", joined(row.killed_by),
                       named.empty() ? ", no check named it"
                                     : text(", only ", joined(named), " found something"))};
  }
  return Passed{};
}

Verdict verdict_under_fault(const std::set<std::string>& named, const SeededFaults& faults,
                            const Outcome& outcome) {
  if (!faults.requested.empty()) {
    std::vector<std::string> names;
    for (const FaultSpec& fault : faults.requested) names.push_back(fault.name);
    if (named.empty()) return Failed{text(survived_unnamed, joined(names))};
    const Verdict held = held_to_its_row(named, faults.requested);
    const bool is_of_rows = std::holds_alternative<Passed>(held);
    // Of several what is found may be another's, of one it is its own.
    if (!is_of_rows && names.size() > 1) return held;
    const std::string silent =
        is_of_rows ? "" : text(" (", joined(fault_row(names[0]).killed_by), " of its row did not)");
    return Failed{
        text(joined(named), " caught ", joined(names), silent, ": ", outcome.details.front())};
  }
  return held_to_its_row(named, faults.expected);
}

// A failure that a check has explained is that check's finding, not an error of its own.
bool is_explained(const RankFailure& failure, const std::vector<RankReport>& reports) {
  return failure.kind == FailureKind::system &&
         std::ranges::any_of(reports, [](const RankReport& report) {
           return std::ranges::any_of(report.ledger.findings(), [&](const CheckFinding& finding) {
             return finding.sentence == report.failure.message;
           });
         });
}

// What `moebius` is told to run the line again; words that change nothing are left away.
std::vector<std::string> words_to_reproduce(const ScenarioSource& source, const RunLine& line) {
  std::vector<std::string> words = {"run"};
  const auto add = [&words](const char* option, std::string_view value) {
    words.insert(words.end(), {option, std::string(value)});
  };
  if (!source.path.empty()) words.push_back(source.path);
  if (!source.trace.empty()) add("--trace", source.trace);
  const RunLine usual;
  add("--backend", line.backend);
  add("--communicator", line.communicator);
  add("--ranks", line.ranks == RanksAre::threads ? "threads" : "processes");
  if (line.selection != usual.selection) add("--selection", name_of(line.selection));
  if (line.dispatch_site != usual.dispatch_site)
    add("--dispatch-site", name_of(line.dispatch_site));
  if (source.values) add("--values", *source.values == Values::real ? "real" : "integers");
  if (source.dtype) add("--dtype", name_of(*source.dtype));
  if (line.profile != usual.profile) add("--profile", line.profile);
  if (line.platform != usual.platform) add("--platform", line.platform);
  if (line.device != usual.device) add("--device", name_of(line.device));
  if (source.deadline_ms) add("--deadline", text(*source.deadline_ms));
  if (source.delay_max_ms) add("--delay", text(*source.delay_max_ms));
  if (source.seed) add("--seed", text(*source.seed));
  return words;
}

}  // namespace

Outcome empty_outcome(const LoadedScenario& loaded, const RunLine& line) {
  Outcome outcome;
  outcome.scenario = loaded.scenario.name;
  outcome.line = line;
  BackendDecision decision = backend_choice(loaded.scenario, line).decision;
  outcome.resolved_backend = std::move(decision.backend);
  outcome.warnings = std::move(decision.warnings);
  for (const std::string& warning : rule_words(loaded.scenario, line, FindingKind::warning)) {
    outcome.warnings.push_back(warning);
  }
  outcome.world = loaded.scenario.world;
  outcome.values = loaded.scenario.values;
  outcome.dtype = loaded.scenario.model.dtype;
  outcome.judge = loaded.golden ? Judge::golden : Judge::oracle;
  outcome.reproduce = words_to_reproduce(loaded.source, line);
  return outcome;
}

void read_reports(const std::vector<RankReport>& reports, Outcome& outcome) {
  CheckLedger ledger;
  for (const RankReport& report : reports) {
    outcome.rows += report.rows;
    outcome.mismatches += report.mismatches;
    outcome.traffic.bytes += report.traffic.bytes;
    outcome.traffic.rows += report.traffic.rows;
    outcome.traffic.collectives += report.traffic.collectives;
    outcome.traffic.staged_bytes += report.traffic.staged_bytes;
    outcome.times.select = std::max(outcome.times.select, report.times.select);
    outcome.times.prepare = std::max(outcome.times.prepare, report.times.prepare);
    outcome.times.experts = std::max(outcome.times.experts, report.times.experts);
    outcome.times.finalize = std::max(outcome.times.finalize, report.times.finalize);
    outcome.judging = std::max(outcome.judging, report.judging);
    ledger.merge(report.ledger);
    outcome.outputs.push_back(report.outputs);
  }
  note_worst(reports, outcome);
  for (const auto& [check, count] : ledger.counts()) outcome.checks[check] = "ok";
  for (const CheckFinding& finding : ledger.findings()) {
    std::string& said = outcome.checks[finding.check];
    if (said == "ok") said = finding.sentence;
  }
}

bool is_unnamed(const Verdict& verdict) { return reason_of(verdict).starts_with(survived_unnamed); }

void weigh_effect(const std::vector<FaultSpec>& faults, bool changes_outputs, Outcome& outcome) {
  if (changes_outputs) {
    outcome.verdict = Failed{text(reason_of(outcome.verdict),
                                  ": its outputs differ from those of a line without it, but stay "
                                  "within their bounds")};
    return;
  }
  const std::string same =
      "no effect in this world: all outputs are those of a line without it, bit for bit";
  const bool is_of_outputs = std::ranges::all_of(faults, [](const FaultSpec& fault) {
    return std::ranges::all_of(fault_row(fault.name).killed_by, [](std::string_view check) {
      return std::ranges::count(checks_of_outputs, check) > 0;
    });
  });
  if (is_of_outputs) {
    outcome.verdict = Skipped{text("fault ", faults.front().name, " has ", same)};
  } else {
    outcome.verdict = Failed{text(reason_of(outcome.verdict), ": it has ", same)};
  }
}

void decide(const std::vector<RankReport>& reports, const SeededFaults& faults, Outcome& outcome) {
  const std::set<std::string> named = named_checks(reports);
  const RankFailure* failure = first_failure(reports);
  add_findings(reports, killers_of(faults), outcome);
  if (failure != nullptr && failure->kind == FailureKind::interrupted) {
    outcome.verdict = errored(*failure);
    return;
  }
  const bool is_seeded = !faults.expected.empty() || !faults.requested.empty();
  if (is_seeded) outcome.judge = Judge::expectation;
  if (is_seeded && (failure == nullptr || failure->kind != FailureKind::input)) {
    outcome.verdict = verdict_under_fault(named, faults, outcome);
    const bool survived = reason_of(outcome.verdict).starts_with("SURVIVED");
    if (survived && failure != nullptr) add_rank_ends(reports, outcome);
    return;
  }
  if (failure != nullptr && !is_explained(*failure, reports)) {
    outcome.verdict = errored(*failure);
    add_rank_ends(reports, outcome);
  } else if (!named.empty()) {
    outcome.verdict = Failed{outcome.details.empty() ? joined(named) : outcome.details.front()};
  } else {
    outcome.verdict = Passed{};
  }
}

}  // namespace moe::sim
