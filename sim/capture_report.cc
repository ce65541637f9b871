// The words of a capture's verdict and of each finding: tensor, rank, place, value, expected value
// and the likely fault.

#include "sim/capture_report.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/text.h"
#include "sim/text_layout.h"

namespace moe::sim {
namespace {

constexpr std::size_t findings_shown = 20;
constexpr std::size_t findings_written = 1000;

// " row 3, column 17"; rows of the batched format have an expert and a slot.
std::string place_text(const golden::CaptureFinding& finding) {
  std::vector<std::string> indices;
  if (finding.row >= 0) indices.push_back(text("row ", finding.row));
  if (finding.expert >= 0) {
    indices.push_back(text("local expert ", finding.expert, " (", finding.global_expert, ")"));
  }
  if (finding.slot >= 0) indices.push_back(text("slot ", finding.slot));
  if (finding.source_rank >= 0 && finding.source_row < 0) {
    indices.push_back(text("source rank ", finding.source_rank));
  }
  if (finding.column >= 0) indices.push_back(text("column ", finding.column));
  return indices.empty() ? "" : text(" ", joined(indices));
}

std::string finding_text(const golden::CaptureFinding& finding) {
  std::string words = text(golden::name_of(finding.fault), ": rank ", finding.rank, ", ",
                           finding.tensor, place_text(finding));
  if (finding.source_rank >= 0 && finding.source_row >= 0) {
    words += text(" (row ", finding.source_row, " of rank ", finding.source_rank, ")");
  }
  if (!finding.value.empty()) words += text(": ", finding.value, ", expected ", finding.expected);
  return finding.cause.empty() ? words : text(words, ": ", finding.cause);
}

std::string passed_text(const JudgedCapture& judged) {
  const golden::CaptureJudgement& judgement = judged.judgement;
  std::string words = text(counted(judgement.rows_delivered, "row"), " delivered as due, ",
                           judgement.rows_combined, " combined to the bit");
  if (judgement.rows_bounded > 0) {
    words += text(", ", judgement.rows_bounded, " within ",
                  static_cast<int>(std::ceil(100 * judgement.largest_share)), " % of their bounds");
  }
  return words;
}

JsonValue index_json(Count index) { return index < 0 ? JsonValue(nullptr) : JsonValue(index); }

JsonValue word_json(const std::string& word) {
  return word.empty() ? JsonValue(nullptr) : JsonValue(word);
}

JsonValue finding_json(const golden::CaptureFinding& finding) {
  return JsonObject{{"fault", golden::name_of(finding.fault)},
                    {"tensor", finding.tensor},
                    {"rank", finding.rank},
                    {"row", index_json(finding.row)},
                    {"expert", index_json(finding.expert)},
                    {"global_expert", index_json(finding.global_expert)},
                    {"slot", index_json(finding.slot)},
                    {"column", index_json(finding.column)},
                    {"source_rank", index_json(finding.source_rank)},
                    {"source_row", index_json(finding.source_row)},
                    {"value", word_json(finding.value)},
                    {"expected", word_json(finding.expected)},
                    {"elements", finding.elements},
                    {"message", finding_text(finding)}};
}

}  // namespace

std::string capture_text(const JudgedCapture& judged, Ansi ansi) {
  const std::string line =
      text(mark_text(judged.verdict, ansi), " ", padded(judged.name, 36), " ",
           padded(text(judged.backend, ", ", counted(judged.ep_size, "rank")), 34), " ");
  if (std::holds_alternative<Passed>(judged.verdict)) return text(line, passed_text(judged));
  const std::vector<golden::CaptureFinding>& findings = judged.judgement.findings;
  std::string all = text(line, counted(std::ssize(findings), "finding"));
  for (std::size_t i = 0; i < std::min(findings.size(), findings_shown); ++i) {
    all += text("\n      ", finding_text(findings[i]));
  }
  if (findings.size() > findings_shown) {
    all += text("\n      … and ", findings.size() - findings_shown, " more (--json)");
  }
  return all;
}

JsonValue capture_json(const JudgedCapture& judged) {
  const golden::CaptureJudgement& judgement = judged.judgement;
  JsonArray findings;
  for (std::size_t i = 0; i < std::min(judgement.findings.size(), findings_written); ++i) {
    findings.push_back(finding_json(judgement.findings[i]));
  }
  const std::string reason = reason_of(judged.verdict);
  return JsonObject{{"capture", judged.name},
                    {"backend", word_json(judged.backend)},
                    {"ranks", judged.ep_size},
                    {"verdict", word_of(judged.verdict)},
                    {"reason", word_json(reason)},
                    {"rows_delivered", judgement.rows_delivered},
                    {"rows_combined", judgement.rows_combined},
                    {"rows_bounded", judgement.rows_bounded},
                    {"largest_share", judgement.largest_share},
                    {"num_findings", std::ssize(judgement.findings)},
                    {"findings", findings}};
}

}  // namespace moe::sim
