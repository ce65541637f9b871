// From the ranks' reports to an outcome: sums, the first difference, the checks, and the verdict
// with its sentences. Called by run.cc; starts nothing.

#pragma once

#include <vector>

#include "sim/run.h"

namespace moe::sim {

// The outcome of a line before anything ran.
Outcome empty_outcome(const LoadedScenario& loaded, const RunLine& line);

// Counts, times, traffic, checks and the first difference. ORDER: ranks ascending.
void read_reports(const std::vector<RankReport>& reports, Outcome& outcome);

struct SeededFaults {
  const std::vector<FaultSpec>& expected;   // the scenario's: it passes when each is caught
  const std::vector<FaultSpec>& requested;  // --fault: caught or survived, the run fails
};

// Reads checks before errors under a seeded fault (formats.md, 6).
void decide(const std::vector<RankReport>& reports, const SeededFaults& faults, Outcome& outcome);

}  // namespace moe::sim
