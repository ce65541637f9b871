// M-EP and M-PERM: what a scenario's tokens give in worlds that must not change it
// (fault-catalogue.md, 2): the same tokens on other factorings of its ranks, with experts placed
// the other way, with tokens or ranks in reverse. A scenario asks by same_under; exact worlds only,
// where equal means equal bytes. Called by run.cc, which runs the relatives.

#pragma once

#include <string>
#include <vector>

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

// ORDER: as same_under asks. Whether a backend can take them all is not asked.
std::vector<Relative> relatives_of(const Scenario& scenario);

// The first row that is not the same token's row in the other world, as a sentence; empty where
// none is.
std::string row_difference(const std::vector<RankOutputs>& ones,
                           const std::vector<RankOutputs>& others);

}  // namespace moe::sim
