// Words, reasons and exit codes of verdicts.
// Every function visits all four cases.

#include "sim/verdict.h"

namespace moe::sim {

std::string_view word_of(const Verdict& verdict) {
  return std::visit(Cases{[](const Passed&) { return std::string_view("passed"); },
                          [](const Failed&) { return std::string_view("failed"); },
                          [](const Skipped&) { return std::string_view("skipped"); },
                          [](const Errored&) { return std::string_view("error"); }},
                    verdict);
}

std::string reason_of(const Verdict& verdict) {
  return std::visit(Cases{[](const Passed&) { return std::string(); },
                          [](const auto& other) { return other.reason; }},
                    verdict);
}

int exit_code_of(const Verdict& verdict) {
  return std::visit(Cases{[](const Passed&) { return 0; }, [](const Failed&) { return 1; },
                          [](const Skipped&) { return 0; },
                          [](const Errored& errored) { return errored.exit_code; }},
                    verdict);
}

std::string_view name_of(Judge judge) {
  switch (judge) {
    case Judge::golden:
      return "golden";
    case Judge::oracle:
      return "oracle";
    default:
      return "expectation";
  }
}

std::vector<std::string> checks_that_did_not_look(const Outcome& outcome) {
  std::vector<std::string> missing;
  for (const CheckRow& row : all_checks()) {
    const std::string name(row.name);
    if (row.only_where.empty() && !outcome.checks.contains(name)) missing.push_back(name);
  }
  return missing;
}

}  // namespace moe::sim
