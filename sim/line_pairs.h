// A line that has run, against what ran beside it for its sake: the same line without its faults
// (M-BACK), and the scenario's relatives with them (M-EP, M-PERM). All on local ranks, in this
// process. Called by run.cc.

#pragma once

#include <vector>

#include "sim/rank_program.h"
#include "sim/run.h"

namespace moe::sim {

// The line, and the faults that it ran with.
struct RanLine {
  const LoadedScenario& loaded;
  const RunLine& line;
  const Backend& backend;
  const std::vector<FaultSpec>& faults;
  const std::atomic<bool>& stop;
};

// M-BACK for faults that only another line can tell: the same backend on local ranks, with nothing
// wrong, gives something else. Findings go to the first report's ledger. Throws ScenarioError where
// the other line fails.
void compare_with_healthy(const RanLine& ran, std::vector<RankReport>& reports);

// Whether a rank's outputs are not, to the bit, those of the same line with nothing wrong. Throws
// ScenarioError where that one fails.
bool differs_from_healthy(const RanLine& ran, const std::vector<RankReport>& reports);

// M-EP and M-PERM. Throws ScenarioError where the backend can take no relative of one of the
// changes.
void compare_with_relatives(const RanLine& ran, std::vector<RankReport>& reports);

}  // namespace moe::sim
