// moebius oracle as values: what its options describe. oracle_options.cc knows the words,
// oracle_command.cc answers.

#pragma once

#include <string>
#include <vector>

#include "backends/oracle/experts_deployment.h"

namespace moe::sim {

// all: the cross product. diff_from, diff_to: of two profiles. Else the deployment's answer, and
// why not others.
struct OracleQuery {
  std::string profile;
  ExpertsDeployment deployment;
  std::vector<std::string> why_not;
  bool all = false;
  std::string diff_from = {};
  std::string diff_to = {};
};

}  // namespace moe::sim
