// Reads golden files (moe-golden/1, formats.md, 4) and holds them against the scenario they judge.
// Only golden/make_golden.py writes them; what a golden means is golden/golden.h.

#pragma once

#include <string>

#include "golden/golden.h"
#include "sim/scenario.h"

namespace moe::sim {

// The oracle whose goldens this program accepts.
inline constexpr const char* golden_generator = "oracle.py 1";

// Throws ScenarioError "path: …: run golden/make_golden.py …" for another format or version, wrong
// types, ragged arrays, and cells that do not exist.
golden::Golden read_golden(const std::string& path);

// Throws ScenarioError that says what differs (the scenario's name, its bytes, the generator,
// ranks, steps or layers) and what to run.
void check_golden_fits(const golden::Golden& golden, const Scenario& scenario);

}  // namespace moe::sim
