// Verdict: how a run ended, always one of four and always visited in full. Outcome: a verdict with
// what was measured on the way, as reports print it.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sim/rank_program.h"
#include "sim/scenario.h"

namespace moe::sim {

struct Passed {};
struct Failed {
  std::string reason;
};
struct Skipped {
  std::string reason;
};
// exit_code: 2 bad input, 3 a peer, wire, device or deadline, 4 our contract, 130 interrupted.
struct Errored {
  std::string reason;
  int exit_code = 4;
};

using Verdict = std::variant<Passed, Failed, Skipped, Errored>;

// For std::visit over all four.
template <typename... Case>
struct Cases : Case... {
  using Case::operator()...;
};

std::string_view word_of(const Verdict& verdict);  // passed, failed, skipped, error
std::string reason_of(const Verdict& verdict);     // empty for passed
int exit_code_of(const Verdict& verdict);          // 0, 1, 0, its own

enum class Judge { golden, oracle, expectation };
std::string_view name_of(Judge judge);

struct Outcome {
  std::string scenario;
  RunLine line;
  std::string resolved_backend;  // what profile and platform made of line.backend; empty: none
  WorldSpec world;
  Values values = Values::integers;
  DType dtype = DType::bf16;
  Verdict verdict;
  Judge judge = Judge::oracle;
  std::string met = "caught as expected";  // what passing means where an expectation judges
  Count rows = 0;
  Count mismatches = 0;
  std::optional<LocatedElement> worst;  // the first that differs, or in real worlds the nearest
  std::map<std::string, std::string> checks;  // "ok", or what was found first
  std::vector<std::string> details;           // sentences below the verdict, most telling first
  std::vector<std::string> warnings;
  Traffic traffic;                      // of all ranks
  StageTimes times;                     // the largest of any rank
  std::chrono::nanoseconds judging{0};  // the same
  std::chrono::nanoseconds elapsed{0};
  std::vector<std::string> reproduce;  // words after `moebius`
  std::vector<RankOutputs> outputs;    // of each rank that came to an end
};

// Of those that look in every run.
std::vector<std::string> checks_that_did_not_look(const Outcome& outcome);

}  // namespace moe::sim
