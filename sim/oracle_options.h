// moebius oracle as values: what its options describe. oracle_options.cc knows the words,
// oracle_command.cc answers.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/oracle/experts_deployment.h"

namespace moe::sim {

// A fault of the oracles. experts, bit: as all_oracle_faults says; empty where it has none.
struct OracleFault {
  std::string name;
  std::string experts = {};
  std::string bit = {};
};
// "MF-29:experts=TritonExperts,bit=format". Throws ScenarioError with what is valid.
OracleFault parsed_oracle_fault(const std::string& words, const std::string& profile);

// all: the cross product. diff_from, diff_to: of two profiles. Else the deployment's answer, and
// why not others.
struct OracleQuery {
  std::string profile;
  ExpertsDeployment deployment;
  std::vector<std::string> why_not;
  std::optional<int> num_experts = {};  // physical, of a layer; none: as many on each rank
  bool all = false;
  std::string diff_from = {};
  std::string diff_to = {};
  OracleFault fault = {};  // empty name: none
};

}  // namespace moe::sim
