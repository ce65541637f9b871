// A rank's report as JSON and back: how a rank that is a process tells the judge's process.
// Both directions stand together, so that a member is never written without being read.

#include "sim/json_reading.h"
#include "sim/rank_program.h"

namespace moe::sim {
namespace {

void add_element(const golden::Mismatch& element, JsonObject& object) {
  object.push_back({"token", element.token});
  object.push_back({"column", element.column});
  object.push_back({"expected", element.expected});
  object.push_back({"actual", element.actual});
  object.push_back({"bound", element.bound});
}

golden::Mismatch element_from(const JsonValue& value) {
  return {integer_at(value, "token"), integer_at(value, "column"), number_at(value, "expected"),
          number_at(value, "actual"), number_at(value, "bound")};
}

golden::Cell cell_from(const JsonValue& value) {
  return {static_cast<int>(integer_at(value, "step")), static_cast<int>(integer_at(value, "layer")),
          static_cast<int>(integer_at(value, "rank"))};
}

JsonValue nearest_json(const std::optional<LocatedElement>& nearest) {
  if (!nearest) return nullptr;
  JsonObject object{
      {"step", nearest->cell.step}, {"layer", nearest->cell.layer}, {"rank", nearest->cell.rank}};
  add_element(nearest->mismatch, object);
  return object;
}

JsonValue finding_json(const CellFinding& finding) {
  JsonObject object{{"step", finding.cell.step},    {"layer", finding.cell.layer},
                    {"rank", finding.cell.rank},    {"finding", static_cast<int>(finding.finding)},
                    {"sentence", finding.sentence}, {"located", finding.mismatch.has_value()}};
  if (finding.mismatch) add_element(*finding.mismatch, object);
  return object;
}

CellFinding finding_from(const JsonValue& value) {
  CellFinding finding;
  finding.cell = cell_from(value);
  finding.finding = static_cast<golden::Finding>(integer_at(value, "finding"));
  finding.sentence = string_at(value, "sentence");
  if (*member(value, "located").boolean()) finding.mismatch = element_from(value);
  return finding;
}

JsonValue outputs_json(const RankOutputs& outputs) {
  JsonArray samples;
  for (const OutputSample& one : outputs.samples) {
    samples.push_back(JsonObject{{"step", one.cell.step},
                                 {"layer", one.cell.layer},
                                 {"rank", one.cell.rank},
                                 {"token", one.token},
                                 {"column", one.column},
                                 {"value", one.value},
                                 {"bound", one.bound}});
  }
  JsonArray rows;
  for (const OutputRow& one : outputs.rows) {
    rows.push_back(JsonObject{{"step", one.cell.step},
                              {"layer", one.cell.layer},
                              {"rank", one.cell.rank},
                              {"token", one.token},
                              {"number", one.number},
                              {"digest", static_cast<std::int64_t>(one.digest)},
                              {"first", one.first}});
  }
  return JsonObject{{"digest", static_cast<std::int64_t>(outputs.digest)},
                    {"has_bounds", outputs.has_bounds},
                    {"rows", std::move(rows)},
                    {"samples", std::move(samples)}};
}

RankOutputs outputs_from(const JsonValue& value) {
  RankOutputs outputs{.digest = static_cast<std::uint64_t>(integer_at(value, "digest")),
                      .has_bounds = *member(value, "has_bounds").boolean(),
                      .samples = {}};
  for (const JsonValue& one : array_at(value, "samples")) {
    outputs.samples.push_back({cell_from(one), integer_at(one, "token"), integer_at(one, "column"),
                               number_at(one, "value"), number_at(one, "bound")});
  }
  for (const JsonValue& one : array_at(value, "rows")) {
    outputs.rows.push_back({cell_from(one), integer_at(one, "token"), integer_at(one, "number"),
                            static_cast<std::uint64_t>(integer_at(one, "digest")),
                            number_at(one, "first")});
  }
  return outputs;
}

JsonValue times_json(const StageTimes& times) {
  return JsonObject{{"select", times.select.count()},
                    {"prepare", times.prepare.count()},
                    {"experts", times.experts.count()},
                    {"finalize", times.finalize.count()}};
}

StageTimes times_from(const JsonValue& value) {
  using std::chrono::nanoseconds;
  return {nanoseconds(integer_at(value, "select")), nanoseconds(integer_at(value, "prepare")),
          nanoseconds(integer_at(value, "experts")), nanoseconds(integer_at(value, "finalize"))};
}

JsonValue ledger_json(const CheckLedger& ledger) {
  JsonArray counts;
  for (const auto& [check, count] : ledger.counts()) {
    counts.push_back(JsonObject{{"check", check}, {"count", count}});
  }
  JsonArray findings;
  for (const CheckFinding& finding : ledger.findings()) {
    const Moment& moment = finding.moment;
    findings.push_back(
        JsonObject{{"check", finding.check},
                   {"moment", JsonArray{moment.step, moment.layer, moment.stage, moment.rank}},
                   {"sentence", finding.sentence}});
  }
  return JsonObject{{"counts", std::move(counts)}, {"findings", std::move(findings)}};
}

CheckLedger ledger_from(const JsonValue& value) {
  std::map<std::string, Count> counts;
  for (const JsonValue& one : array_at(value, "counts")) {
    counts[string_at(one, "check")] = integer_at(one, "count");
  }
  std::vector<CheckFinding> findings;
  for (const JsonValue& one : array_at(value, "findings")) {
    std::vector<int> at;
    for (const JsonValue& number : array_at(one, "moment")) {
      at.push_back(static_cast<int>(*number.integer()));
    }
    findings.push_back({string_at(one, "check"),
                        {at.at(0), at.at(1), at.at(2), at.at(3)},
                        string_at(one, "sentence")});
  }
  return {std::move(counts), std::move(findings)};
}

}  // namespace

JsonValue to_json(const RankReport& report) {
  JsonArray findings;
  for (const CellFinding& finding : report.findings) findings.push_back(finding_json(finding));
  return JsonObject{
      {"rank", report.rank},
      {"rows", report.rows},
      {"mismatches", report.mismatches},
      {"differing_cells", report.differing_cells},
      {"findings", std::move(findings)},
      {"nearest", nearest_json(report.nearest)},
      {"outputs", outputs_json(report.outputs)},
      {"ledger", ledger_json(report.ledger)},
      {"traffic", JsonObject{{"bytes", report.traffic.bytes},
                             {"rows", report.traffic.rows},
                             {"collectives", report.traffic.collectives},
                             {"staged_bytes", report.traffic.staged_bytes}}},
      {"times", times_json(report.times)},
      {"judging", report.judging.count()},
      {"last_operation", report.last_operation},
      {"failure", JsonObject{{"kind", static_cast<int>(report.failure.kind)},
                             {"message", report.failure.message},
                             {"at_ns", report.failure.at_ns}}},
  };
}

RankReport rank_report_from(const JsonValue& value) {
  RankReport report;
  report.rank = static_cast<int>(integer_at(value, "rank"));
  report.rows = integer_at(value, "rows");
  report.mismatches = integer_at(value, "mismatches");
  report.differing_cells = integer_at(value, "differing_cells");
  for (const JsonValue& one : array_at(value, "findings")) {
    report.findings.push_back(finding_from(one));
  }
  if (const JsonValue& nearest = member(value, "nearest"); !nearest.is_null()) {
    report.nearest = LocatedElement{cell_from(nearest), element_from(nearest)};
  }
  report.outputs = outputs_from(member(value, "outputs"));
  report.ledger = ledger_from(member(value, "ledger"));
  const JsonValue& traffic = member(value, "traffic");
  report.traffic = {integer_at(traffic, "bytes"), integer_at(traffic, "rows"),
                    integer_at(traffic, "collectives"), integer_at(traffic, "staged_bytes")};
  report.times = times_from(member(value, "times"));
  report.judging = std::chrono::nanoseconds(integer_at(value, "judging"));
  report.last_operation = string_at(value, "last_operation");
  const JsonValue& failure = member(value, "failure");
  report.failure = {static_cast<FailureKind>(integer_at(failure, "kind")),
                    string_at(failure, "message"), integer_at(failure, "at_ns")};
  return report;
}

}  // namespace moe::sim
