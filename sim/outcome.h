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

// Whether no check named anything of the faults that were asked for.
bool is_unnamed(const Verdict& verdict);

// What such a verdict becomes once it is known whether the faults changed any output. Without that
// a fault of outputs alone had nothing to be found by, and is a skip; others may have done what
// shows elsewhere, and stay survivors.
void weigh_effect(const std::vector<FaultSpec>& faults, bool changes_outputs, Outcome& outcome);

}  // namespace moe::sim
