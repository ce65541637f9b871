// One function for each end that can be expected.
// What was not met is a failure that says what came instead.

#include "sim/expectation.h"

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

std::string_view name_of(ErrorKind kind) {
  if (kind == ErrorKind::scenario) return "scenario";
  return kind == ErrorKind::system ? "system" : "contract";
}

int exit_code_of(ErrorKind kind) {
  if (kind == ErrorKind::scenario) return 2;
  return kind == ErrorKind::system ? 3 : 4;
}

void hold(const std::monostate&, Outcome&) {}

void hold(const ExpectedError& expected, Outcome& outcome) {
  outcome.judge = Judge::expectation;
  const auto* error = std::get_if<Errored>(&outcome.verdict);
  const bool is_it = error != nullptr && error->exit_code == exit_code_of(expected.kind) &&
                     error->reason.find(expected.text) != std::string::npos;
  if (is_it) {
    outcome.details = {error->reason};
    outcome.met = "ended in the expected error";
    outcome.verdict = Passed{};
    return;
  }
  const std::string reason = reason_of(outcome.verdict);
  outcome.verdict =
      Failed{text("expected a ", name_of(expected.kind), " error with '", expected.text,
                  "', it ended as ", word_of(outcome.verdict), reason.empty() ? "" : ": ", reason)};
}

// Outputs are the golden's to judge; here the decision is.
void hold(const ExpectedFallback& expected, Outcome& outcome) {
  if (!std::holds_alternative<Passed>(outcome.verdict)) return;
  const bool fell_back =
      outcome.resolved_backend == expected.backend && outcome.line.backend != expected.backend;
  if (fell_back && outcome.warnings.size() == 1) return;
  outcome.judge = Judge::expectation;
  outcome.verdict = Failed{text("expected ", outcome.line.backend, " to fall back to ",
                                expected.backend, " with one warning; it ran as ",
                                outcome.resolved_backend, " with ", outcome.warnings.size())};
}

void hold(const ExpectedDifference& expected, Outcome& outcome) {
  const bool has_ended = std::holds_alternative<Passed>(outcome.verdict) ||
                         std::holds_alternative<Failed>(outcome.verdict);
  if (!has_ended) return;
  const std::string reason = reason_of(outcome.verdict);
  outcome.judge = Judge::expectation;
  if (outcome.mismatches > 0) {
    outcome.met = text("differs as expected (", outcome.mismatches, " elements)");
    outcome.verdict = Passed{};
    return;
  }
  outcome.verdict =
      Failed{text("every output is as it should be, but was expected to differ: ", expected.why,
                  reason.empty() ? "" : text("; ", reason))};
}

}  // namespace

void hold_to_expected_end(const ExpectedEnd& end, Outcome& outcome) {
  const auto* error = std::get_if<Errored>(&outcome.verdict);
  const bool is_interrupted = error != nullptr && error->exit_code == 130;
  if (is_interrupted || std::holds_alternative<Skipped>(outcome.verdict)) return;
  std::visit([&outcome](const auto& expected) { hold(expected, outcome); }, end);
}

}  // namespace moe::sim
