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
using OracleAxes = std::vector<OracleAxis>;
// ORDER: outermost first. What a deployment is: device, model, layout.
const OracleAxes& oracle_axes();
// What a user asks for beside a few of these: each word of moe_backend, each value of a variable.
const OracleAxes& choice_axes();

// A value of each axis.
using OracleCell = std::vector<int>;
ExpertsDeployment deployment_of(const OracleAxes& axes, const OracleCell& cell);

// What a profile has nothing to say about: a quantisation that it has no oracle for, an all2all
// backend, a word of moe_backend; empty: it answers.
std::string_view absence_of(const Profile& profile, const ExpertsDeployment& deployment);

// What a cell is answered. decided: "TRITON TritonExperts", or the error's name; empty where
// something is absent. refused: who was refused before, by which predicate:
// "FlashInferExperts device".
struct OracleAnswer {
  std::string decided;
  std::vector<std::string> refused = {};
};
using AnswerMaker = std::function<OracleAnswer(const ExpertsDeployment& deployment)>;
OracleAnswer answer_of(const Profile& profile, const ExpertsDeployment& deployment,
                       const OracleSources& sources = {});

// What a cell without a decision is: none at all, so that nobody misses it in "all but", or one
// that has no line.
enum class SilentCell { is_none, has_no_line };

// A tree's lines, indented: "quant fp8_tensor, fp8_tensor_dynamic" above its deeper axes, and at
// the end of a line "-> " with what all cells below are answered and "[7]", the number of what
// refused before. refusals has a line for each number: "[7] [3], TritonExperts device" is 3's and
// one more.
struct OracleTree {
  std::vector<std::string> lines;
  std::vector<std::string> refusals;
  Count num_cells = 0;
  Count num_shown = 0;
};
OracleTree oracle_tree(const OracleAxes& axes, const AnswerMaker& answer, SilentCell silent);

// Of oracle_axes.
OracleTree oracle_table(const Profile& profile);
// Of choice_axes: "A => B" where a choice changes what the deployment gets without it.
OracleTree choice_table(const Profile& profile);
// "A => B" for the cells whose decisions differ, and nothing of the others.
// "A => B" for the cells where two answers differ, also if only in who was refused.
OracleTree disagreement(const OracleAxes& axes, const AnswerMaker& before,
                        const AnswerMaker& after);
// Of oracle_axes or choice_axes.
OracleTree oracle_difference(const Profile& from, const Profile& to, const OracleAxes& axes);

}  // namespace moe
