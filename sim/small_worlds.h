// Small worlds: made-up scenarios of at most four ranks and a few tokens that reach the corners
// (idle ranks, experts that do not divide, odd widths, masked choices). A world follows from its
// seed and its number alone, so two numbers are enough to see one again.

#pragma once

#include <string>
#include <vector>

#include "sim/run.h"
#include "sim/scenario.h"

namespace moe::sim {

struct SmallSizes {
  int ranks = 1;
  int experts = 4;
  int top_k = 1;
};

// Everything but routing and steps: probe experts, five columns, bf16.
Scenario plain_small_world(SmallSizes sizes);

// World number index of a seed.
Scenario small_world(std::uint64_t seed, Count index);

// What the world is, in a line.
std::string small_world_text(const Scenario& scenario);

// Every backend that can take the world, on local threads; every 50th world also on Gloo's. The
// command line's words stand in their place. May be empty.
std::vector<RunLine> lines_for_small_world(const Scenario& scenario, Count index,
                                           const RunOverrides& overrides);

}  // namespace moe::sim
