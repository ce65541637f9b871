// The first failure is the one whose deadline passed first; what the others did last says for whom
// it waited.

#include "sim/progress_check.h"

#include <algorithm>

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

// Who ended without saying what it did last waits no more.
std::string place_of(const RankReport& report) {
  const std::string& last = report.last_operation;
  return last.empty() ? text("rank ", report.rank, " without a word")
                      : text("rank ", report.rank, " at ", last);
}

bool says_something(const RankReport& report) { return !report.ledger.findings().empty(); }

}  // namespace

void check_progress(std::vector<RankReport>& reports) {
  if (std::ranges::any_of(reports, says_something)) return;
  RankReport* first = nullptr;
  for (RankReport& report : reports) {
    if (report.failure.kind != FailureKind::system || report.last_operation.empty()) continue;
    if (first == nullptr || report.failure.at_ns < first->failure.at_ns) first = &report;
  }
  if (first == nullptr) return;
  std::vector<std::string> others;
  for (const RankReport& report : reports) {
    if (&report != first) others.push_back(place_of(report));
  }
  first->ledger.found(
      "PROG", {0, 0, 0, first->rank},
      text("rank ", first->rank, " waits in ", first->last_operation, ": ", first->failure.message,
           others.empty() ? "" : text("; then ", joined(others))));
}

}  // namespace moe::sim
