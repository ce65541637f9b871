// vLLM's configuration rules over a run line: what it would refuse, warn of or note
// (backends/config). Called by run.cc before a line runs.

#pragma once

#include <string>
#include <vector>

#include "backends/config/validation.h"
#include "sim/scenario.h"

namespace moe::sim {

// The deployment that a line describes. What its backend's libraries need is taken to be there.
// REQUIRES a backend that some profile knows.
DeploymentConfig deployment_of(const Scenario& scenario, const RunLine& line);

// Errors first refuse a line: the words of the first rule that forbids it, and the key that it is
// about (of "runs" without its number, of another section in full); empty: none does. Warnings that
// the backend's decision has said already (V1) are not repeated.
struct RuleRefusal {
  std::string key;
  std::string why;
};
RuleRefusal rule_refusal(const Scenario& scenario, const RunLine& line);
std::vector<std::string> rule_words(const Scenario& scenario, const RunLine& line,
                                    FindingKind kind);

}  // namespace moe::sim
