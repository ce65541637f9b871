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
  std::string_view profile;  // whose capacity counts
};

// With the profile that has the backend by its own name; whoever knows a run line puts its own.
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

// The first columns of a row that becomes codes: what they were, their codes and scales, and the
// numbers that these stand for together. recipe none: nothing is told.
struct ExplainedCodes {
  QuantRecipe recipe = QuantRecipe::none;
  std::vector<double> values = {};
  std::vector<int> codes = {};
  std::vector<double> scales = {};
  std::vector<double> numbers = {};
};

// What becomes codes on the row's way through the first expert that it chose: the row, the expert's
// weights (W2's first row), and what stands between its products.
struct ExplainedQuantising {
  int expert = -1;
  ExplainedCodes row = {};
  ExplainedCodes weights = {};
  ExplainedCodes between = {};
};

struct TokenExplanation {
  golden::Cell cell;
  Count token = 0;
  std::vector<double> hidden_state;
  std::vector<ExplainedChoice> choices;
  std::vector<ExplainedScore> scores = {};  // chosen by slot, then the best of the others; empty:
                                            // the scenario has no router logits
  std::vector<int> holders;                 // ranks that hold the row: one, or those of a TP group
  std::vector<int> homes;                   // of these, whose sending is told (token_homes)
  std::vector<int> reached;                 // ranks that receive the row, its own included
  ExplainedQuantising quantising = {};
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

// How rows come to the experts of a layer whose backend moves them; of one that does not take the
// scheme as if they were quantised where they come to.
RowsAtExperts rows_come(const ExplainedWorld& world);
ExplainedQuantising explained_quantising(const ExplainedWorld& world,
                                         const TokenExplanation& token);

// Ranks that hold a token of a DP rank, and of these the ones whose sending is told: all, where
// each sends to the ranks of its column; one, where it sends to the owners of the choices, alone or
// as all others do with copies of their own.
std::vector<int> token_holders(const ExplainedWorld& world, int step, int dp_rank, Count token);
std::vector<int> token_homes(const ExplainedWorld& world, int step, int dp_rank, Count token);

// Rows of a DP rank's tokens as they are dispatched: under sequence parallelism zeros fill them up
// until its ranks have equal shares (distribution-layer.md, 4.3).
Count dispatched_rows(const ExplainedWorld& world, int step, int dp_rank);
// The choices of such a row: for zeros a router chooses the first experts.
std::vector<std::int16_t> row_choices(const ExplainedWorld& world, golden::Cell cell, Count row);

// Whether each rank of a TP group sends all the group's tokens to the owners of their choices.
bool sends_replicas(const ExplainedWorld& world);

// Columns of the layer's rows on the wire.
Count columns_on_wire(const ExplainedWorld& world, int layer);

// One row as it arrives where rows are sent to owners.
struct ExplainedArrival {
  int from = -1;     // the rank that sent it
  int dp_rank = -1;  // whose token it is
  Count token = 0;
  bool is_padding = false;
  int expert = -1;            // batched: in whose room it stands
  std::vector<int> ids = {};  // standard: the ids that the rank reads, slot by slot
};

// What comes to each rank in a step, in the order in which it stands there: source ranks ascending,
// in rooms of experts these first. Arrival order that is free is told as if nobody were late.
using ExplainedArrivals = std::vector<std::vector<ExplainedArrival>>;
ExplainedArrivals explained_arrivals(const ExplainedWorld& world, int step, int layer);

// The ids of a token's choices as a rank's experts read them, in the standard format.
std::vector<int> ids_read(const ExplainedWorld& world, const TokenExplanation& token, int rank);

// Rows that each expert has room for in the batched format.
Count room_of_expert(const ExplainedWorld& world);

// How rows travel in one step of one layer.
struct StepExplanation {
  int step = 0;
  int layer = 0;
  std::vector<Count> tokens = {};             // of each DP rank
  Count num_padding = 0;                      // rows of zeros that are dispatched as well
  std::vector<std::vector<Count>> sent = {};  // [from][to] rows in dispatch; [r][r] stay
  std::vector<std::vector<Count>> met = {};   // of these, rows that meet a chosen expert there
  std::vector<Count> choices_of = {};         // [expert] choices that it computes
  Count masked = 0;                           // choices that nobody computes
  ExplainedArrivals arrivals = {};            // empty: rows are not sent to owners
};

StepExplanation explain_step(const ExplainedWorld& world, int step, int layer);

// What both texts begin with, and how the backend's dispatch works.
std::string explanation_header(const ExplainedWorld& world, const std::string& what);
std::string reach_text(const ExplainedWorld& world, int layer);

// A label and the first columns of a row of numbers, or of words.
std::string explained_row_text(const std::string& label, const std::vector<double>& values);
std::string explained_words_text(const std::string& label, const std::vector<std::string>& words);
std::string quantising_text(const ExplainedWorld& world, const ExplainedQuantising& told);

// As text for people, at most 100 columns.
std::string token_explanation_text(const ExplainedWorld& world, const TokenExplanation& explained);
std::string step_explanation_text(const ExplainedWorld& world, const StepExplanation& explained);
std::string arrivals_text(const ExplainedWorld& world, const StepExplanation& explained);

}  // namespace moe::sim
