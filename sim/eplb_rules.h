// Which deployments may balance experts (distribution-layer.md, 6.2: V2 to V5 and V16). The reader
// asks for the world's part; where a scenario expects to be refused, its run lines ask instead.

#pragma once

#include <string>

#include "sim/scenario.h"

namespace moe::sim {

// Throws ScenarioError at the offending key.
void check_eplb(const Scenario& scenario);

// The first step after the last rearrangement of so many steps; 0 where there is none.
int first_step_of_last_maps(const Scenario& scenario, int num_steps);

// Why the line cannot balance experts, and which key of it says so; both empty where it can, or
// where nothing is balanced.
struct EplbRefusal {
  std::string key;
  std::string why;
};
EplbRefusal why_without_eplb(const Scenario& scenario, const RunLine& line);

}  // namespace moe::sim
