// The cross product of the default profile and what neighbouring profiles answer differently,
// against oracle_table.golden and oracle_diff_*.golden; and that the trees say of each cell what
// the oracle says of it. `moe_tests_unit_backends "oracle table: writes its goldens"` writes them
// anew.

#include "backends/oracle/oracle_table.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "kernels/base/mix.h"
#include "tests/catch.h"
#include "tests/unit/backends/oracle_deployments.h"

using namespace moe;
using namespace moe::oracle_tests;

namespace {

const std::string folder = MOE_SOURCE_DIR "/tests/unit/backends/";

struct ProfilePair {
  std::string_view from;
  std::string_view to;
};
constexpr std::array pairs = {ProfilePair{"post-36294", "post-36286"},
                              ProfilePair{"post-33728", "post-40412"},
                              ProfilePair{"post-40412", "late-2026"}};

std::string path_of(const ProfilePair& pair) {
  return text(folder, "oracle_diff_", pair.from, "_", pair.to, ".golden");
}
const std::string table_path = folder + "oracle_table.golden";
const std::string choices_path = folder + "oracle_choices.golden";

std::vector<std::string> lines_of(const OracleTree& tree) {
  std::vector<std::string> lines = tree.lines;
  lines.insert(lines.end(), tree.refusals.begin(), tree.refusals.end());
  lines.push_back(text(tree.num_shown, " of ", tree.num_cells, " cells"));
  return lines;
}

void write(const std::string& path, std::string_view about, const OracleTree& tree) {
  std::ofstream file(path);
  file << "# " << about << "\n";
  for (const std::string& line : lines_of(tree)) file << line << "\n";
}

// Lines that only one of both has, the first few.
std::string difference(const std::string& path, const OracleTree& tree) {
  std::vector<std::string> golden;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("#")) golden.push_back(line);
  }
  const std::vector<std::string> lines = lines_of(tree);
  const auto [ours, theirs] = std::ranges::mismatch(lines, golden);
  if (ours == lines.end() && theirs == golden.end()) return "";
  return text("line ", ours - lines.begin() + 1, ": '", ours == lines.end() ? "" : *ours,
              "', golden '", theirs == golden.end() ? "" : *theirs, "'");
}

// A printed tree read back: under each line its values of an axis.
struct ReadLine {
  std::size_t depth = 0;
  std::size_t axis = 0;
  bool is_any = false;
  bool is_all_but = false;
  std::vector<std::string> values;
  std::string answer;  // empty: deeper lines have it
};

std::size_t axis_named(const std::string& name) {
  const auto& axes = oracle_axes();
  const auto axis = std::ranges::find(axes, name, &OracleAxis::name);
  REQUIRE(axis != axes.end());
  return static_cast<std::size_t>(axis - axes.begin());
}

ReadLine read_line(std::string line) {
  ReadLine read{.depth = line.find_first_not_of(' ') / 2};
  line.erase(0, 2 * read.depth);
  const std::size_t arrow = line.find("-> ");
  if (arrow != std::string::npos) {
    read.answer = line.substr(arrow + 3);
    line.erase(arrow == 0 ? 0 : arrow - 1);
  }
  if (line.empty()) {  // one answer for everything
    read.is_any = true;
    return read;
  }
  const std::size_t space = line.find(' ');
  read.axis = axis_named(line.substr(0, space));
  std::string values = line.substr(space + 1);
  read.is_any = values == "any";
  read.is_all_but = values.starts_with("all but ");
  if (read.is_all_but) values.erase(0, 8);
  std::istringstream stream(values + ", ");
  for (std::string value; std::getline(stream, value, ',');) {
    const std::size_t begin = value.find_first_not_of(' ');
    if (begin != std::string::npos) read.values.push_back(value.substr(begin));
  }
  return read;
}

bool takes(const ReadLine& line, const OracleCell& cell) {
  if (line.is_any) return true;
  const auto& axis = oracle_axes()[line.axis];
  const std::string& value = axis.values[static_cast<std::size_t>(cell[line.axis])];
  const bool is_listed = std::ranges::count(line.values, value) > 0;
  return is_listed != line.is_all_but;
}

// What the lines say of a cell: the answer of the only path that takes it; empty: no line does.
std::string said_of(const std::vector<ReadLine>& lines, const OracleCell& cell) {
  std::size_t open = 0;  // lines of this depth are looked at
  for (const ReadLine& line : lines) {
    if (line.depth > open) continue;
    if (line.depth < open) open = line.depth;
    if (!takes(line, cell)) continue;
    if (!line.answer.empty()) return line.answer;
    open = line.depth + 1;
  }
  return "";
}

std::string without_number(const std::string& answer) {
  return answer.substr(0, answer.find(" ["));
}

// Cells all over the cross product, the same in every run.
std::vector<OracleCell> some_cells(int count) {
  std::vector<OracleCell> cells;
  for (int i = 0; i < count; ++i) {
    OracleCell cell;
    for (std::size_t axis = 0; axis < oracle_axes().size(); ++axis) {
      const auto size = oracle_axes()[axis].values.size();
      const auto drawn = mix(7, i, axis);
      cell.push_back(static_cast<int>(drawn % size));
    }
    cells.push_back(cell);
  }
  return cells;
}

std::vector<ReadLine> read_lines(const OracleTree& tree) {
  std::vector<ReadLine> lines;
  for (const std::string& line : tree.lines) lines.push_back(read_line(line));
  return lines;
}

// The golden, and of each of some cells whether it has a line.
void check_difference(const ProfilePair& pair) {
  const Profile& from = profile_named(pair.from);
  const Profile& to = profile_named(pair.to);
  const OracleTree tree = oracle_difference(from, to, oracle_axes());
  CHECK(difference(path_of(pair), tree) == "");
  const std::vector<ReadLine> lines = read_lines(tree);
  int num_flipped = 0;
  for (const OracleCell& cell : some_cells(5000)) {
    const std::string before = answer_of(from, deployment_of(oracle_axes(), cell)).decided;
    const std::string after = answer_of(to, deployment_of(oracle_axes(), cell)).decided;
    const std::string said = said_of(lines, cell);
    num_flipped += before == after ? 0 : 1;
    const bool is_absent = before.empty() != after.empty();
    if (said.empty() != (before == after)) FAIL_CHECK(before << " => " << after << ": " << said);
    if (!said.empty() && !is_absent) CHECK(said == text(before, " => ", after));
  }
  CHECK(num_flipped > 0);
}

// Those that some oracle has, and the parts of composite ones.
std::set<std::string_view> wired_classes(const Profile& profile) {
  std::set<std::string_view> wired;
  for (const OracleFamily& family : all_oracle_families()) {
    for (const OracleBackend& backend : family.backends) {
      if (backend.eras.covers(profile))
        wired.insert(backend.classes.begin(), backend.classes.end());
    }
  }
  for (const ExpertsClass& row : all_experts_classes()) {
    if (row.eras.covers(profile)) wired.insert(row.parts.begin(), row.parts.end());
  }
  wired.erase("");
  return wired;
}

}  // namespace

TEST_CASE("oracle table: the cross product of the default profile is the golden's") {
  const Profile& profile = profile_named(default_profile);
  const OracleTree tree = oracle_table(profile);
  CHECK(difference(table_path, tree) == "");
  const std::vector<ReadLine> lines = read_lines(tree);
  for (const OracleCell& cell : some_cells(500)) {
    const std::string decided = answer_of(profile, deployment_of(oracle_axes(), cell)).decided;
    if (!decided.empty()) CHECK(without_number(said_of(lines, cell)) == decided);
  }
}

TEST_CASE("oracle table: what requests and variables get is the golden's") {
  CHECK(difference(choices_path, choice_table(profile_named(default_profile))) == "");
}

TEST_CASE("oracle table: what #36286 changed is the golden's") { check_difference(pairs[0]); }
TEST_CASE("oracle table: what #40412 changed is the golden's") { check_difference(pairs[1]); }
TEST_CASE("oracle table: what changed by late 2026 is the golden's") { check_difference(pairs[2]); }

TEST_CASE("oracle table: profiles without a change of the oracles between them answer alike") {
  for (const OracleCell& cell : some_cells(2000)) {
    const ExpertsDeployment deployment = deployment_of(oracle_axes(), cell);
    const std::string before = answer_of(profile_named("post-36286"), deployment).decided;
    CHECK(answer_of(profile_named("post-33728"), deployment).decided == before);
  }
}

TEST_CASE("oracle table: writes its goldens", "[.]") {
  write(table_path, "Every deployment of oracle_axes under post-40412 (experts-and-oracles.md, 7).",
        oracle_table(profile_named(default_profile)));
  write(choices_path, "What words of moe_backend and values of variables change under post-40412.",
        choice_table(profile_named(default_profile)));
  for (const ProfilePair& pair : pairs) {
    write(path_of(pair),
          text("What the oracles answer otherwise under ", pair.to, " than under ", pair.from, "."),
          oracle_difference(profile_named(pair.from), profile_named(pair.to), oracle_axes()));
  }
}

TEST_CASE("oracle laws: the taken one is the first not refused, all before it have a reason") {
  int num_taken = 0;
  for (const auto profile_name : oracle_profiles()) {
    const Profile& profile = profile_named(profile_name);
    for (const OracleCell& cell : some_cells(2000)) {
      const ExpertsDeployment deployment = deployment_of(oracle_axes(), cell);
      if (answer_of(profile, deployment).decided.empty()) continue;
      const ExpertsDecision decision = select_experts_backend(profile, deployment);
      const auto& trace = decision.trace;
      const auto first = std::ranges::find_if(
          trace, [](const Candidate& one) { return !one.refusal.has_value(); });
      const bool is_last = first == trace.end() || first + 1 == trace.end();
      const bool is_taken = first == trace.end() || (first->backend == decision.backend &&
                                                     first->experts == decision.experts);
      const bool is_explained = first != trace.end() || decision.error != OracleError::none ||
                                decision.is_unchecked || decision.experts == nullptr;
      const bool has_one_outcome =
          (decision.backend != nullptr) != (decision.error != OracleError::none);
      const bool is_right = is_last && is_taken && is_explained && has_one_outcome;
      if (!is_right) FAIL_CHECK(profile_name << ": " << answer(decision));
      num_taken += first != trace.end() ? 1 : 0;
    }
  }
  CHECK(num_taken > 3000);
}

TEST_CASE("oracle laws: candidates are asked in the order of the list, each of its classes once") {
  const Profile& profile = profile_named(default_profile);
  for (const OracleCell& cell : some_cells(2000)) {
    const ExpertsDeployment deployment = deployment_of(oracle_axes(), cell);
    if (answer_of(profile, deployment).decided.empty()) continue;
    const ExpertsDecision decision = select_experts_backend(profile, deployment);
    std::vector<std::pair<std::string_view, std::string_view>> due;
    for (const std::string_view name : decision.priority) {
      const auto* backend = find_oracle_backend(oracle_family(decision.family), profile, name);
      for (const std::string_view experts : backend->classes) due.emplace_back(name, experts);
    }
    std::vector<std::pair<std::string_view, std::string_view>> asked;
    for (const Candidate& one : decision.trace) {
      asked.emplace_back(one.backend->name, one.experts->name);
    }
    // mxfp4 on XPU ends with its own once more.
    if (deployment.platform == OraclePlatform::xpu && asked.size() > due.size()) asked.pop_back();
    due.resize(std::min(due.size(), asked.size()));
    if (asked != due) FAIL_CHECK(answer(decision));
  }
}

TEST_CASE("oracle laws: every class of a profile is an answer or says why it is none") {
  for (const auto profile_name : {"post-40412", "late-2026"}) {
    const Profile& profile = profile_named(profile_name);
    const std::set<std::string_view> wired = wired_classes(profile);
    for (const std::string_view name : wired) {
      INFO(profile_name << " " << name);
      CHECK(find_experts_class(all_experts_classes(), profile, name) != nullptr);
    }
    for (const ExpertsClass& row : all_experts_classes()) {
      if (!row.eras.covers(profile)) continue;
      INFO(profile_name << " " << row.name);
      CHECK(wired.contains(row.name) == row.not_wired.empty());
      CHECK(find_experts_class(all_experts_classes(), profile, row.name) == &row);
    }
  }
}
