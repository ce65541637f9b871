// Faults of the oracles (F9): every bit of every capability row, the ignored request and every
// predicate of the parallel configuration, each told as a lie and held against the table by ORACLE.
// oracle_faults.golden has those that no answer shows: `moe_tests_fault "oracle faults: writes its
// golden"` writes it anew.

#include <algorithm>
#include <array>
#include <fstream>

#include "backends/oracle/faulty_oracle.h"
#include "backends/oracle/oracle_table.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "tests/catch.h"

using namespace moe;

namespace {

const std::string golden_path = MOE_SOURCE_DIR "/tests/fault/oracle_faults.golden";

// Deployments of a family, the same in every run: where a class is asked at all.
std::vector<ExpertsDeployment> deployments_of(std::string_view quant) {
  std::vector<ExpertsDeployment> some;
  const OracleAxes& axes = oracle_axes();
  const auto& quants = axes.front().values;
  const auto place = std::ranges::find(quants, quant) - quants.begin();
  for (int i = 0; i < 5000; ++i) {
    OracleCell cell = {static_cast<int>(place)};
    for (std::size_t axis = 1; axis < axes.size(); ++axis) {
      cell.push_back(static_cast<int>(mix(11, i, axis) % axes[axis].values.size()));
    }
    some.push_back(deployment_of(axes, cell));
  }
  return some;
}

struct Asked {
  ExpertsDeployment deployment;
  OracleAnswer answer;                    // the table's
  std::vector<std::string_view> classes;  // that were asked on the way, parts among them

  bool asks(std::string_view name) const {
    return name.empty() || std::ranges::count(classes, name) > 0;
  }
};

Asked asked_of(const ExpertsDeployment& deployment) {
  const Profile& profile = profile_named(default_profile);
  Asked asked{deployment, answer_of(profile, deployment), {}};
  if (asked.answer.decided.empty()) return asked;
  for (const Candidate& one : select_experts_backend(profile, deployment).trace) {
    asked.classes.push_back(one.experts->name);
    asked.classes.insert(asked.classes.end(), one.experts->parts.begin(), one.experts->parts.end());
  }
  return asked;
}

// With the table's answers, which oracle_table.golden pins.
const std::vector<Asked>& asked_deployments() {
  static const std::vector<Asked> all = [] {
    std::vector<Asked> asked;
    for (const QuantScheme& scheme : all_quant_schemes()) {
      for (const ExpertsDeployment& deployment : deployments_of(scheme.name)) {
        asked.push_back(asked_of(deployment));
      }
    }
    return asked;
  }();
  return all;
}

// ORACLE: whether any answer is another one than the table's. experts: a lie of that class alone,
// which only those can show that ask it; empty: any.
bool names_it(const OracleSources& lying, std::string_view experts = {}) {
  const Profile& profile = profile_named(default_profile);
  return std::ranges::any_of(asked_deployments(), [&](const Asked& one) {
    if (!one.asks(experts)) return false;
    const OracleAnswer said = answer_of(profile, one.deployment, lying);
    return said.decided != one.answer.decided || said.refused != one.answer.refused;
  });
}

// "BatchedTritonExperts: activation relu2": bits whose lies nobody sees.
std::vector<std::string> survivors() {
  std::vector<std::string> lines;
  const Profile& profile = profile_named(default_profile);
  for (const ExpertsClass& row : all_experts_classes()) {
    if (!row.eras.covers(profile) || !row.not_wired.empty()) continue;
    std::vector<std::string> unseen;
    for (const ClassBit& bit : class_bits(row)) {
      const auto lying = with_lie(all_experts_classes(), default_profile, row.name, bit);
      if (!names_it({.classes = lying}, row.name)) unseen.push_back(bit.name);
    }
    if (!unseen.empty()) lines.push_back(text(row.name, ": ", joined(unseen)));
  }
  return lines;
}

}  // namespace

TEST_CASE("oracle faults: MF-29, a lie in any row is named but for those of the golden") {
  std::vector<std::string> golden;
  std::ifstream file(golden_path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("#")) golden.push_back(line);
  }
  CHECK(survivors() == golden);
}

TEST_CASE("oracle faults: writes its golden", "[.]") {
  std::ofstream file(golden_path);
  file
      << "# MF-29: bits of capability rows whose lies change no answer and no refusal of a sample\n"
         "# of the cross product under post-40412: activations that no model of its axes has\n"
         "# (relu2, swiglustep, silu_no_mul, gelu_no_mul) and sizes, which experts_class_test.cc\n"
         "# holds against the page's matrix, and limits of layouts that the class never meets.\n";
  for (const std::string& line : survivors()) file << line << "\n";
}

TEST_CASE(
    "oracle faults: MF-30, an ignored request is named for every word that some oracle maps") {
  const Profile& profile = profile_named(default_profile);
  for (const std::string_view word : moe_backend_words(profile)) {
    if (word == "auto") continue;
    const bool is_named = std::ranges::any_of(asked_deployments(), [&](const Asked& one) {
      ExpertsDeployment deployment = one.deployment;
      deployment.moe_backend = word;
      const OracleAnswer asked = answer_of(profile, deployment);
      const OracleAnswer ignored = answer_of(profile, without_request(deployment));
      return asked.decided != ignored.decided;
    });
    INFO(word);
    CHECK(is_named);
  }
}

TEST_CASE("oracle faults: MF-31, every flipped predicate is named") {
  for (const ParallelBit bit : all_parallel_bits()) {
    OracleSources lying;
    lying.parallel = [bit](const Profile& profile, const ExpertsDeployment& deployment) {
      return with_lie(parallel_traits_of(profile, deployment), bit);
    };
    INFO(name_of(bit));
    CHECK(names_it(lying));
  }
}

TEST_CASE("oracle faults: without a lie nothing is named") { CHECK_FALSE(names_it({})); }
