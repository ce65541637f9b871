// Explanations: what the layer does with one token, or with all tokens of one step, as values with
// real numbers. They come from the scenario's inputs, the backend's capabilities and the oracle's
// experts; a test holds them against what the layer returns. explain_text.cc writes them down.

#pragma once

#include <string>
#include <vector>

#include "backends/capabilities.h"
#include "golden/golden.h"
#include "sim/scenario.h"
#include "sim/world_inputs.h"

namespace moe::sim {

// Everything an explanation is about. LIFETIME: the references outlive it.
struct ExplainedWorld {
  const Scenario& scenario;
  const WorldInputs& inputs;
  std::string backend;
  Capabilities capabilities;
  ExpertMap expert_map;
};

ExplainedWorld explained_world(const Scenario& scenario, const WorldInputs& inputs,
                               const std::string& backend);

// Whether the ranks of a TP group hold a part each of the shared experts.
bool shared_is_cut(const Scenario& scenario);

// One of a token's top_k choices.
struct ExplainedChoice {
  int slot = 0;
  int expert = -1;  // -1: masked, and nothing else means anything
  float weight = 0;
  int rank = -1;  // where the expert lives
  int local_expert = -1;
  std::vector<double> output = {};  // [hidden_size] the expert's row, as it is stored
};

// What the router made of one expert's logit.
struct ExplainedScore {
  int expert = 0;
  double logit = 0;
  double score = 0;
  double bias = 0;  // counts for the choice alone
  int slot = -1;    // -1: not chosen

  double decides() const { return score + bias; }
};

// What is added in a sum: an expert's row times its weight (slot is set), or a rank's partial row.
struct Addend {
  int slot = -1;
  int rank = -1;
  std::vector<double> values;
};

// One sum of the recipe: who adds what, in this order.
struct ExplainedSum {
  int rank = -1;
  std::vector<Addend> addends = {};
  std::vector<double> result = {};  // rounded to the rows' type
};

// One stage of the recipe with the sums that ranks make in it, ranks ascending; over_tp: the sum
// over a TP group that the runner adds to the backend's recipe.
struct ExplainedStage {
  ReductionStage stage;
  std::vector<ExplainedSum> sums;
  bool over_tp = false;
};

// What the runner does to the routed sum: its factor, and the shared expert's row.
struct ExplainedRunner {
  double factor = 1;
  std::vector<double> scaled = {};
  std::vector<double> shared = {};  // empty: none
};

struct TokenExplanation {
  golden::Cell cell;
  Count token = 0;
  std::vector<double> hidden_state;
  std::vector<ExplainedChoice> choices;
  std::vector<ExplainedScore> scores = {};  // chosen by slot, then the best of the others; empty:
                                            // the scenario has no router logits
  std::vector<int> homes;                   // ranks that hold the row: one, or those of a TP group
  std::vector<int> reached;                 // ranks that receive the row, its own included
  std::vector<ExplainedStage> stages;
  ExplainedRunner runner = {};
  std::vector<double> output;    // what comes home
  std::vector<double> expected;  // what the oracle says, rounded to the rows' type
};

// The home whose dispatch reaches the rank: of a TP group's ranks the one in its column.
int source_of(const TokenExplanation& token, int rank);

// REQUIRES that the cell has the token; cell.rank is its DP rank. Throws ScenarioError for a recipe
// that nobody can replay, and for experts that are cut over ranks.
TokenExplanation explain_token(const ExplainedWorld& world, golden::Cell cell, Count token);

// How rows travel in one step of one layer.
struct StepExplanation {
  int step = 0;
  int layer = 0;
  std::vector<Count> tokens = {};             // of each rank
  std::vector<std::vector<Count>> sent = {};  // [from][to] rows in dispatch; [r][r] stay
  std::vector<std::vector<Count>> met = {};   // of these, rows that meet a chosen expert there
  std::vector<Count> choices_of = {};         // [expert] choices that it computes
  Count masked = 0;                           // choices that nobody computes
};

StepExplanation explain_step(const ExplainedWorld& world, int step, int layer);

// What both texts begin with, and how the backend's dispatch works.
std::string explanation_header(const ExplainedWorld& world, const std::string& what);
std::string reach_text(DispatchReach reach);

// As text for people, at most 100 columns.
std::string token_explanation_text(const ExplainedWorld& world, const TokenExplanation& explained);
std::string step_explanation_text(const ExplainedWorld& world, const StepExplanation& explained);

}  // namespace moe::sim
