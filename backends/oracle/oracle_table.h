// The cross product of deployments and what the oracles answer to each, written as a decision tree:
// axes that change nothing are left out, values with the same answers share a line. Two profiles
// give the tree of what differs. Pure; `moebius oracle --all` and --diff print it, goldens pin it.

#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/oracle/experts_oracle.h"

namespace moe {

// One axis: what it is called, its values, and what a value makes of a deployment.
struct OracleAxis {
  std::string_view name;
  std::vector<std::string> values;
  std::function<void(ExpertsDeployment& deployment, int value)> set;
};
// ORDER: outermost first. Layouts have a backend that some profile lacks: cells_of says which.
const std::vector<OracleAxis>& oracle_axes();

// A value of each axis.
using OracleCell = std::vector<int>;
ExpertsDeployment deployment_of(const OracleCell& cell);

// What a cell is answered, in one line: backend and class or the error, then who was refused by
// which predicate: "TRITON TritonExperts | FLASHINFER_TRTLLM device". "-": the profile has no
// such all2all backend.
using OracleAnswer = std::function<std::string(const ExpertsDeployment& deployment)>;
std::string answer_line(const Profile& profile, const ExpertsDeployment& deployment,
                        const OracleSources& sources = {});

// A tree's lines, indented: "quant fp8_tensor, fp8_tensor_dynamic" above its deeper axes, and at
// the end of a line "-> " with what all cells below are answered. shows: whether an answer is
// printed; what is not shown has no line.
struct OracleTree {
  std::vector<std::string> lines;
  Count num_cells = 0;
  Count num_shown = 0;
};
OracleTree oracle_tree(const OracleAnswer& answer,
                       const std::function<bool(std::string_view answer)>& shows);

OracleTree oracle_table(const Profile& profile, const OracleSources& sources = {});
// "A => B" for the cells whose answers differ, and nothing of the others.
OracleTree oracle_difference(const Profile& from, const Profile& to);

}  // namespace moe
