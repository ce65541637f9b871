// One run line of a scenario, of a file or of none, run and judged as the program would.
// What a verdict must be, each test says itself.

#pragma once

#include <atomic>
#include <vector>

#include "sim/run.h"

namespace moe::sim {

inline Outcome judged_line(const LoadedScenario& loaded, const RunLine& line,
                           const std::vector<FaultSpec>& faults = {}) {
  static const std::atomic<bool> never_stop{false};
  return run_line(loaded, line, {faults, {}, "", never_stop});
}

inline Outcome judged_line(const Scenario& scenario, const RunLine& line,
                           const std::vector<FaultSpec>& faults = {}) {
  return judged_line(LoadedScenario(scenario), line, faults);
}

}  // namespace moe::sim
