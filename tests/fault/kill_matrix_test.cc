// The kill matrix: every fault of the table on its scenario, and the checks that named it, against
// the golden file beside this test. Without their faults the same scenarios are silent.

#include <algorithm>
#include <map>
#include <set>

#include "kernels/base/text.h"
#include "sim/faults.h"
#include "sim/scenario_reader.h"
#include "tests/catch.h"
#include "tests/golden_lines.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;

namespace {

const DataFolders folders{MOE_SOURCE_DIR "/scenarios", MOE_SOURCE_DIR "/golden/data"};
const std::string golden_path = MOE_SOURCE_DIR "/tests/fault/kill_matrix.golden";

// Scenario files cannot ask for faults that the catalogue does not have: those run here by
// --fault, in a world that does not hide them.
const std::map<std::string, std::string> scenario_of_own_faults = {
    {"flip_bit", "smoke/uneven-experts"},
    {"stalled_rank", "engine/late-rank"},
    {"untrimmed_width", "regression/hidden-96"}};

struct Seeded {
  std::string fault;
  std::string path;
  std::vector<FaultSpec> requested;  // beside the scenario's own
};

std::string path_of(const std::string& name) { return text(folders.scenarios, "/", name, ".yaml"); }

// By name every scenario that seeds a fault.
std::map<std::string, Seeded> seeded_scenarios() {
  std::map<std::string, Seeded> seeded;
  for (const auto& path : scenario_files({"faults"}, folders.scenarios)) {
    const Scenario scenario = read_scenario(path, folders.scenarios);
    for (const FaultSpec& fault : scenario.faults) seeded[scenario.name] = {fault.name, path, {}};
  }
  for (const auto& [fault, name] : scenario_of_own_faults) {
    seeded[name] = {fault, path_of(name), {parsed_fault(fault)}};
  }
  return seeded;
}

std::vector<RunLine> local_lines(const Scenario& scenario) {
  RunOverrides overrides;
  overrides.communicator = "local";
  overrides.ranks = RanksAre::threads;
  return lines_of(scenario, overrides);
}

// The checks that named something, the judge among them.
std::set<std::string> named_in(const Outcome& outcome) {
  std::set<std::string> named;
  for (const auto& [check, said] : outcome.checks) {
    if (said != "ok") named.insert(check);
  }
  if (outcome.mismatches > 0) named.insert(std::string(judge_check.name));
  return named;
}

// A fault in a scenario → the checks that name it.
using Matrix = std::map<std::pair<std::string, std::string>, std::set<std::string>>;

Matrix kill_matrix() {
  Matrix matrix;
  for (const auto& [scenario, seeded] : seeded_scenarios()) {
    const LoadedScenario loaded(ScenarioSource{.folders = folders, .path = seeded.path});
    const RunLine line = local_lines(loaded.scenario).front();
    matrix[{seeded.fault, scenario}] = named_in(judged_line(loaded, line, seeded.requested));
  }
  return matrix;
}

// A line for each fault and scenario; then for each check the faults that nothing else names, and
// those that only the judge names beside it.
std::vector<std::string> lines_of_matrix(const Matrix& matrix) {
  std::vector<std::string> lines;
  std::map<std::string, std::set<std::string>> alone;
  for (const auto& [place, checks] : matrix) {
    const auto& [fault, scenario] = place;
    lines.push_back(text(fault, " in ", scenario, ": ",
                         joined(std::vector(checks.begin(), checks.end()), " ")));
    std::set<std::string> others = checks;
    const bool with_judge = others.size() > 1 && others.erase(std::string(judge_check.name)) > 0;
    if (others.size() != 1) continue;
    alone[text("only ", *others.begin(), with_judge ? " beside REF" : "")].insert(fault);
  }
  for (const auto& [words, faults] : alone) {
    lines.push_back(text(words, ": ", joined(std::vector(faults.begin(), faults.end()), " ")));
  }
  return lines;
}

}  // namespace

// The matrix is dear: one case runs it once and holds all that is asked of it.
TEST_CASE("kill matrix: every fault and every check of the tables, as the golden has them") {
  const Matrix matrix = kill_matrix();
  const std::vector<std::string> lines = lines_of_matrix(matrix);
  const std::vector<std::string> golden = golden_lines(golden_path);
  for (const std::string& line : lines) {
    INFO("not in " << golden_path << ":\n" << line);
    CHECK(std::ranges::count(golden, line) == 1);
  }
  for (const std::string& line : golden) {
    INFO("only in " << golden_path << ":\n" << line);
    CHECK(std::ranges::count(lines, line) == 1);
  }
  for (const FaultRow& row : all_faults()) {
    INFO(row.name << " has a scenario, and a check of its row names it");
    int num_scenarios = 0;
    for (const auto& [place, checks] : matrix) {
      if (place.first != row.name) continue;
      ++num_scenarios;
      const auto names_it = [&](std::string_view check) {
        return checks.contains(std::string(check));
      };
      CHECK(std::ranges::any_of(row.killed_by, names_it));
    }
    CHECK(num_scenarios > 0);
  }
  std::set<std::string> biting;
  for (const auto& [place, checks] : matrix) biting.insert(checks.begin(), checks.end());
  for (const CheckRow& row : all_checks()) {
    INFO(row.name << " names some fault");
    CHECK(biting.contains(std::string(row.name)));
  }
}

TEST_CASE("kill matrix: without its fault no scenario is named by any check") {
  for (const auto& [name, seeded] : seeded_scenarios()) {
    LoadedScenario loaded(ScenarioSource{.folders = folders, .path = seeded.path});
    loaded.scenario.faults.clear();
    for (const RunLine& line : local_lines(loaded.scenario)) {
      const Outcome outcome = judged_line(loaded, line);
      INFO(loaded.scenario.name << " " << line.backend << ": " << reason_of(outcome.verdict));
      CHECK(named_in(outcome).empty());
      CHECK(checks_that_did_not_look(outcome).empty());
      CHECK(word_of(outcome.verdict) == "passed");
    }
  }
}

TEST_CASE("clean runs: every fast scenario without a fault is silent on local ranks") {
  int num_runs = 0;
  for (const auto& path : scenario_files({}, folders.scenarios)) {
    const Scenario scenario = read_scenario(path, folders.scenarios);
    const bool is_fast = std::ranges::count(scenario.tags, "fast") > 0;
    if (!is_fast || !scenario.faults.empty()) continue;
    if (std::holds_alternative<ExpectedError>(scenario.end)) continue;
    if (std::holds_alternative<ExpectedDifference>(scenario.end)) continue;
    const LoadedScenario loaded(ScenarioSource{.folders = folders, .path = path});
    for (const RunLine& line : local_lines(loaded.scenario)) {
      const Outcome outcome = judged_line(loaded, line);
      INFO(scenario.name << " " << line.backend << ": " << reason_of(outcome.verdict));
      if (word_of(outcome.verdict) == "skipped") {  // for want of a device that builds may lack
        CHECK(line.device != DeviceKind::cpu);
        continue;
      }
      CHECK(named_in(outcome).empty());
      CHECK(checks_that_did_not_look(outcome).empty());
      ++num_runs;
    }
  }
  CHECK(num_runs >= 90);
}
