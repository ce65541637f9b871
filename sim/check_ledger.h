// The ledger of one rank's checks: which invariants were looked at and what was found. Checks have
// the names of fault-catalogue.md, 2. Filled by the checks, read by reports.

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "golden/golden.h"

namespace moe::sim {

// One row of `moebius list checks`.
struct CheckRow {
  std::string_view name;
  std::string_view invariant;
  std::string_view only_where = {};  // empty: looked at in every run
};
const std::vector<CheckRow>& all_checks();

// The judge counts as a check too: it compares whole outputs where the others look on the way.
inline constexpr CheckRow judge_check = {
    "REF", "every output is what the golden or the oracle says, byte for byte"};

// The moment of a finding: what was found in an earlier one comes first, whichever rank found it,
// since later ones may follow from it.
struct Moment {
  int step = 0;
  int layer = 0;
  int stage = 0;  // the layer's half: 0 dispatch and experts, 1 combine and output
  int rank = 0;

  auto operator<=>(const Moment&) const = default;
};

struct CheckFinding {
  std::string check;
  Moment moment;
  std::string sentence;
};

class CheckLedger {
 public:
  CheckLedger() = default;
  // As another process wrote it down.
  CheckLedger(std::map<std::string, Count> counts, std::vector<CheckFinding> findings)
      : counts_(std::move(counts)), findings_(std::move(findings)) {}

  // Says that the check was applied at least once.
  void looked(std::string_view check) { counts_.try_emplace(std::string(check), 0); }

  // Keeps the first few findings of each check and counts the rest.
  void found(std::string_view check, Moment moment, const std::string& sentence);

  // ORDER: as found on one rank; after merge by moment.
  const std::vector<CheckFinding>& findings() const { return findings_; }

  // Findings of each check that was applied.
  const std::map<std::string, Count>& counts() const { return counts_; }

  // Adds another rank's ledger.
  void merge(const CheckLedger& other);

 private:
  std::map<std::string, Count> counts_;
  std::vector<CheckFinding> findings_;
};

Moment moment_of(golden::Cell cell, int stage);

// "step 3, layer 1, rank 2"
std::string place_text(golden::Cell cell);

}  // namespace moe::sim
