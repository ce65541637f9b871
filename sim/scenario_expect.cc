// The sections expect and defects of a scenario file: how a run line must end, and which of vLLM's
// defects it reproduces.

#include <algorithm>

#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/scenario_keys.h"
#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

ErrorKind error_kind_named(const std::string& word) {
  if (word == "system") return ErrorKind::system;
  return word == "contract" ? ErrorKind::contract : ErrorKind::scenario;
}

ExpectedError expected_error(const YamlNode& node, Scenario& scenario) {
  const ScenarioMap map(node, "expect.error", "expect.error", scenario);
  for (const char* key : {"kind", "text"}) {
    if (map.find(key) == nullptr) refuse_at(node, "expect.error", text(key, " is missing"));
  }
  return {error_kind_named(map.word("kind", "scenario")), map.line_of_text("text", "")};
}

}  // namespace

void read_expect(const YamlNode& node, Scenario& scenario) {
  if (node.kind != YamlKind::map) {
    const std::string word = chosen_at(node, "expect", {"same_bytes", "derived"});
    scenario.expect = word == "derived" ? Expectation::derived : Expectation::same_bytes;
    return;
  }
  const ScenarioMap map(node, "expect", "expect", scenario);
  if (node.entries.size() != 1) {
    refuse_at(node, "expect", "one of error, fallback, differs is needed, and only one");
  }
  if (const YamlNode* error = map.find("error")) {
    scenario.end = expected_error(*error, scenario);
  } else if (const YamlNode* fallback = map.find("fallback")) {
    const ExpectedFallback expected{map.line_of_text("fallback", "")};
    try {
      check_backend_name(expected.backend);
    } catch (const ScenarioError& unknown) {
      refuse_at(*fallback, "expect.fallback", unknown.what());
    }
    scenario.end = expected;
  } else {
    scenario.end = ExpectedDifference{map.line_of_text("differs", "")};
  }
}

void read_defects(const YamlNode& node, Scenario& scenario) {
  if (node.kind != YamlKind::sequence) {
    refuse_at(node, "defects", text(described(node), " is not a list of names"));
  }
  std::vector<std::string> known;
  for (const Defect& defect : all_defects()) known.emplace_back(defect.name);
  scenario.defects.emplace();
  for (const YamlNode& item : node.items) {
    const std::string where = text("defects[", scenario.defects->size(), "]");
    chosen_at(item, where, known);
    if (std::ranges::count(*scenario.defects, item.scalar) > 0) {
      refuse_at(item, where, text("'", item.scalar, "' is given twice"));
    }
    scenario.defects->push_back(item.scalar);
  }
}

}  // namespace moe::sim
