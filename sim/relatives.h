// M-EP and M-PERM: what a scenario's tokens give in worlds that must not change it
// (fault-catalogue.md, 2): the same tokens on other factorings of its ranks, with experts placed
// the other way, with tokens or ranks in reverse. A scenario asks by same_under; exact worlds only,
// where equal means equal bytes. Called by run.cc, which runs the relatives.

#pragma once

#include <string>
#include <vector>

#include "backends/capabilities.h"
#include "sim/back_check.h"
#include "sim/scenario.h"
#include "sim/yaml_document.h"

namespace moe::sim {

// Fills scenario.same_under. REQUIRES all else of the scenario to be read. Throws ScenarioError.
void read_same_under(const YamlNode& node, Scenario& scenario);

// A world that is related to a scenario's by one change.
struct Relative {
  std::string_view check;  // M-EP or M-PERM
  std::string words;       // the change
  Scenario scenario;
};

// The worlds of one change of same_under. A placement that a backend of those capabilities does not
// get is no other world and is left out; whether it can take the others is not asked.
std::vector<Relative> relatives_of(const Scenario& scenario, const std::string& change,
                                   const Capabilities& capabilities);

// What the ranks of a world gave, and how many of them hold each token: those of a TP group.
struct WorldOutputs {
  const std::vector<RankOutputs>& ranks;
  int holders = 1;
};

// The first row, on any rank, that is not the same token's row in the other world or that one of
// the worlds lacks, as a sentence; empty where none is.
std::string row_difference(const WorldOutputs& ones, const WorldOutputs& others);

}  // namespace moe::sim
