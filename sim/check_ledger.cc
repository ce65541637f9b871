// The list of checks and the ledger's bookkeeping.
// What a check looks at lives in its own file: conservation.cc, poison_check.cc, the communicators.

#include "sim/check_ledger.h"

#include <algorithm>

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

constexpr int findings_kept = 4;

}  // namespace

const std::vector<CheckRow>& all_checks() {
  static const std::vector<CheckRow> rows = {
      {"CONS", "every choice (source rank, token, slot) reaches its expert exactly once"},
      {"PROV", "a received row is the row, the ids and the weights of the token its tag names"},
      {"COUNT", "all ranks agree on how many rows each gives, and that many arrive"},
      {"SEQ", "all ranks issue the same operations in the same order (step, layer, stage)"},
      {"GROUP",
       "the ranks of a group agree on its members, their numbers and the rows that each of them "
       "gives, and an operation runs on the group that it is meant for"},
      {"PROG",
       "a rank comes to its next operation within the deadline, and engines run the steps "
       "that their requests need"},
      {"LAYOUT", "every scale stands where the rows' layout says, and is what the recipe makes",
       "quantised rows"},
      {"POISON", "memory that nobody wrote reaches no valid row"},
      {"SHAPE", "at each edge of the layer rows, columns and type are what the contract says"},
      {"CAP", "a buffer holds its worst case and no more; guard rows stay as they were"},
      {"RANGE",
       "an id that travels or is an index is in its range, a token's ids differ, a masked "
       "one is no index"},
      {"IDS", "rows travel with global ids and are computed with this rank's local ids for them"},
      {"MAP",
       "experts live where the placement says, all ranks hold the same maps, and each slot the "
       "weights of its expert"},
      {"ALIAS", "inputs are the same bytes after the layer, outputs share no memory with them"},
      {"PART", "what is summed over ranks is a part on each of them, and what leaves is complete"},
      {"BYTES", "rows, bytes and collectives of a layer are those of the backend's budget"},
      {"TWICE", "a step that is run again gives the same bits",
       "the first and the last with tokens"},
      {"LIN", "weights of 0 leave the shared experts' part, doubled rows give doubled outputs",
       "integers, the last step with tokens"},
      {"WONCE", "every contribution carries its router weight and the scaling factor once",
       "integers, the last step with tokens"},
      {"ORDER", "combine adds the ranks' rows in the order of its recipe, bit for bit",
       "the layer's combine is such a sum, one step"},
      {"OBS",
       "the loads that routers record are what experts compute, and the plan that they ask for",
       "eplb"},
      {"FT", "a masked rank gets no row and gives none, and all ranks mask the same ones",
       "rows in experts' rooms"},
      {"M-EP", "other DP x TP factorings of the same ranks give each token the same output",
       "same_under: factoring"},
      {"M-PERM", "the order of tokens and of ranks, and where experts live, change no output",
       "same_under: placement, token_order, rank_order"},
      {"M-BACK", "all run lines of a scenario give the same, real worlds within their bounds",
       "lines after the first"},
  };
  return rows;
}

void CheckLedger::found(std::string_view check, Moment moment, const std::string& sentence) {
  const std::string name(check);
  if (++counts_[name] <= findings_kept) findings_.push_back({name, moment, sentence});
}

void CheckLedger::merge(const CheckLedger& other) {
  for (const auto& [check, count] : other.counts_) counts_[check] += count;
  findings_.insert(findings_.end(), other.findings_.begin(), other.findings_.end());
  std::ranges::stable_sort(findings_, {}, &CheckFinding::moment);
}

Moment moment_of(golden::Cell cell, int stage) { return {cell.step, cell.layer, stage, cell.rank}; }

std::string place_text(golden::Cell cell) {
  return text("step ", cell.step, ", layer ", cell.layer, ", rank ", cell.rank);
}

}  // namespace moe::sim
