// Whether a run line ended as its scenario says it must: in an error, with a fallback, or with
// outputs that differ. Called by run.cc when everything else about the outcome is known.

#pragma once

#include "sim/verdict.h"

namespace moe::sim {

// Replaces the verdict where the scenario expects another end than outputs as they should be. A
// skip and an interruption stay what they are.
void hold_to_expected_end(const ExpectedEnd& end, Outcome& outcome);

}  // namespace moe::sim
