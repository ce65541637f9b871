// Outcomes for programs: one object a line with the fields of formats.md, 7.
// Field names are stable; new ones may be added.

#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/report.h"

#include <cmath>

namespace moe::sim {
namespace {

std::int64_t microseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

JsonValue run_json(const Outcome& outcome) {
  const RunLine& line = outcome.line;
  return JsonObject{
      {"backend", line.backend},
      {"resolved_backend",
       outcome.resolved_backend.empty() ? JsonValue(nullptr) : JsonValue(outcome.resolved_backend)},
      {"device", name_of(line.device)},
      {"communicator", line.communicator},
      {"path", "reference"},
      {"ranks", line.ranks == RanksAre::threads ? "threads" : "processes"},
      {"profile", line.profile},
      {"platform", line.platform},
      {"selection", name_of(line.selection)},
      {"dispatch_site", name_of(line.dispatch_site)},
      {"values", outcome.values == Values::real ? "real" : "integers"},
      {"dtype", name_of(outcome.dtype)},
      {"world", JsonObject{{"dp", outcome.world.dp},
                           {"tp", outcome.world.tp},
                           {"pp", outcome.world.pp},
                           {"pcp", outcome.world.pcp},
                           {"ep", outcome.world.expert_parallel ? outcome.world.expert_ranks() : 1},
                           {"sequence_parallel", outcome.world.sequence_parallel}}},
  };
}

JsonValue worst_json(const Outcome& outcome) {
  if (!outcome.worst) return nullptr;
  const auto& [cell, mismatch] = *outcome.worst;
  const double share = mismatch.share();
  return JsonObject{
      {"step", cell.step},
      {"layer", cell.layer},
      {"rank", cell.rank},
      {"token", mismatch.token},
      {"column", mismatch.column},
      {"expected", mismatch.expected},
      {"actual", mismatch.actual},
      {"tolerance_share",
       mismatch.bound > 0 && std::isfinite(share) ? JsonValue(share) : JsonValue(nullptr)}};
}

JsonValue strings(const std::vector<std::string>& words) {
  JsonArray array;
  for (const std::string& word : words) array.push_back(word);
  return array;
}

}  // namespace

JsonLines::JsonLines(const std::string& target) : target_(target) {
  if (target.empty() || is_on_standard_output()) return;
  file_.open(target);
  if (!file_) throw ScenarioError(text("--json: cannot write ", target));
}

void JsonLines::write(const JsonValue& value) {
  if (is_on_standard_output()) std::cout << json_text(value) << std::endl;
  if (file_.is_open()) file_ << json_text(value) << std::endl;
}

void JsonLines::finish() {
  if (file_.is_open() && !file_) {
    throw ScenarioError(text("--json: results cannot be written to ", target_));
  }
}

JsonValue outcome_json(const Outcome& outcome) {
  const std::string reason = reason_of(outcome.verdict);
  JsonObject checks;
  for (const auto& [check, said] : outcome.checks) checks.push_back({check, said});
  return JsonObject{
      {"scenario", outcome.scenario},
      {"run", run_json(outcome)},
      {"verdict", word_of(outcome.verdict)},
      {"judge", name_of(outcome.judge)},
      {"reason", reason.empty() ? JsonValue(nullptr) : JsonValue(reason)},
      {"rows", outcome.rows},
      {"mismatches", outcome.mismatches},
      {"worst", worst_json(outcome)},
      {"checks", std::move(checks)},
      {"details", strings(outcome.details)},
      {"warnings", strings(outcome.warnings)},
      {"traffic", JsonObject{{"bytes", outcome.traffic.bytes},
                             {"rows", outcome.traffic.rows},
                             {"collectives", outcome.traffic.collectives},
                             {"staged_bytes", outcome.traffic.staged_bytes}}},
      {"time_us", JsonObject{{"select", microseconds(outcome.times.select)},
                             {"prepare", microseconds(outcome.times.prepare)},
                             {"experts", microseconds(outcome.times.experts)},
                             {"finalize", microseconds(outcome.times.finalize)},
                             {"judge", microseconds(outcome.judging)},
                             {"whole", microseconds(outcome.elapsed)}}},
  };
}

JsonValue summary_json(const Summary& summary) {
  return JsonObject{{"summary", JsonObject{{"passed", summary.passed},
                                           {"failed", summary.failed},
                                           {"skipped", summary.skipped},
                                           {"errors", summary.errors}}}};
}

}  // namespace moe::sim
