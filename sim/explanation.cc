// The numbers of an explanation: choices, who receives the row, and the recipe replayed sum by sum.
// Experts are the oracle's; nothing of the layer is used here but what a backend declares.

#include "sim/explanation.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/bits.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/generated_logits.h"
#include "sim/placement_choice.h"
#include "sim/registry.h"

namespace moe::sim {
namespace {

// A value as a row of that type holds it.
double stored(double value, DType dtype) {
  double result = 0;
  for_row_type(dtype, [&](auto element) {
    round_to(static_cast<float>(value), element);
    result = static_cast<double>(to_float(element));
  });
  return result;
}

// One expert's row for one token, as the oracle says and the row's type holds it.
std::vector<double> expert_row(const ExplainedWorld& world, golden::Cell cell,
                               const Tensor& hidden_state, int expert) {
  std::vector<double> row =
      world.inputs.expert_outputs(cell, expert, hidden_state, rows_come(world));
  for (double& value : row) value = stored(value, world.scenario.model.dtype);
  return row;
}

// The weighted sum of the choices' rows in double, rounded once.
std::vector<double> weighted_sum(const ExplainedWorld& world, const TokenExplanation& token) {
  std::vector<double> sum(token.hidden_state.size());
  for (const ExplainedChoice& choice : token.choices) {
    if (choice.expert < 0) continue;
    for (std::size_t h = 0; h < sum.size(); ++h) {
      sum[h] += static_cast<double>(choice.weight) * choice.output[h];
    }
  }
  for (double& value : sum) value = stored(value, world.scenario.model.dtype);
  return sum;
}

// Adds in the stage's order with its accumulator and roundings.
std::vector<double> replayed(const ReductionStage& stage, const std::vector<Addend>& addends,
                             const TokenExplanation& token, DType dtype) {
  if (stage.accumulator != DType::f32) {
    throw ScenarioError(
        text("explain: sums in ", name_of(stage.accumulator), " are not supported yet (only f32)"));
  }
  std::vector<double> result(token.hidden_state.size());
  for (std::size_t column = 0; column < result.size(); ++column) {
    float sum = 0;
    for (const Addend& addend : addends) {
      const auto value = static_cast<float>(addend.values[column]);
      const bool is_weighted = addend.slot >= 0 && stage.weighting != Weighting::none;
      const float weight =
          is_weighted ? token.choices[static_cast<std::size_t>(addend.slot)].weight : 1.0F;
      const bool is_whole = stage.weighting == Weighting::whole;
      sum = is_whole ? std::fma(value, weight, sum) : sum + value * weight;
    }
    result[column] = stored(static_cast<double>(sum), dtype);
  }
  return result;
}

// The expert rows that a rank adds: of its own experts, or of all.
std::vector<Addend> chosen_rows(const TokenExplanation& token, Operands operands, int rank) {
  std::vector<Addend> addends;
  for (const ExplainedChoice& choice : token.choices) {
    const bool is_here = operands == Operands::all_slots || choice.rank == rank;
    if (choice.expert >= 0 && is_here) addends.push_back({choice.slot, choice.rank, choice.output});
  }
  return addends;
}

ExplainedSum summed(const ReductionStage& stage, int rank, std::vector<Addend> addends,
                    const TokenExplanation& token, DType dtype) {
  ExplainedSum sum{.rank = rank, .addends = std::move(addends)};
  sum.result = replayed(stage, sum.addends, token, dtype);
  return sum;
}

// The rows that a home adds: what the ranks made that its dispatch reached.
std::vector<Addend> partial_rows(const TokenExplanation& token, int home) {
  std::vector<Addend> addends;
  if (token.stages.empty()) return addends;
  for (const ExplainedSum& partial : token.stages.back().sums) {
    if (source_of(token, partial.rank) == home) {
      addends.push_back({-1, partial.rank, partial.result});
    }
  }
  return addends;
}

ExplainedStage explained_stage(const ReductionStage& stage, const TokenExplanation& token,
                               DType dtype) {
  ExplainedStage explained{stage, {}};
  if (stage.operands == Operands::local_slots) {
    for (const int rank : token.reached) {
      explained.sums.push_back(
          summed(stage, rank, chosen_rows(token, stage.operands, rank), token, dtype));
    }
    return explained;
  }
  for (const int home : token.homes) {
    explained.sums.push_back(summed(stage, home,
                                    stage.operands == Operands::ranks
                                        ? partial_rows(token, home)
                                        : chosen_rows(token, stage.operands, home),
                                    token, dtype));
  }
  return explained;
}

// The runner's all-reduce over the homes' sums (distribution-layer.md, 11.2).
ExplainedStage stage_over_tp(const TokenExplanation& token, DType dtype) {
  ExplainedStage explained{{.operands = Operands::ranks}, {}, true};
  std::vector<Addend> addends;
  for (const ExplainedSum& sum : token.stages.back().sums) {
    addends.push_back({-1, sum.rank, sum.result});
  }
  explained.sums.push_back(
      summed(explained.stage, token.homes.front(), std::move(addends), token, dtype));
  return explained;
}

// Which ranks a token's row reaches, its own included where it stays there, ascending.
std::vector<int> reached_ranks(const ExplainedWorld& world, const std::vector<int>& homes,
                               std::span<const std::int16_t> ids) {
  std::vector<int> reached;
  for (int rank = 0; rank < world.expert_map.num_ranks(); ++rank) {
    const bool owns_one = std::ranges::any_of(ids, [&](std::int16_t expert) {
      return expert >= 0 && world.expert_map.rank_of[static_cast<std::size_t>(expert)] == rank;
    });
    const DispatchReach reach = world.capabilities.dispatch_reach;
    const bool is_reached =
        reach == DispatchReach::every_rank || (reach == DispatchReach::owner_ranks && owns_one) ||
        (reach == DispatchReach::own_rank && std::ranges::count(homes, rank) > 0);
    if (is_reached) reached.push_back(rank);
  }
  return reached;
}

// The factor and the shared expert, each rounded once (moe_runner.cc); output is what comes home.
void run_home(const ExplainedWorld& world, const Tensor& hidden_state, TokenExplanation& token) {
  const ModelSpec& model = world.scenario.model;
  const bool divides_shared = model.dtype == DType::f16 && model.num_shared_experts > 0;
  token.output = token.stages.back().sums.front().result;
  token.runner.factor = divides_shared ? 1 : model.scale;
  for (double& value : token.output) value = stored(value * token.runner.factor, model.dtype);
  token.runner.scaled = token.output;
  if (model.num_shared_experts == 0) return;
  token.runner.shared = expert_row(world, token.cell, hidden_state, -1);
  for (std::size_t h = 0; h < token.output.size(); ++h) {
    double& shared = token.runner.shared[h];
    if (divides_shared) shared = stored(shared / model.scale, model.dtype);
    token.output[h] = stored(token.output[h] + shared, model.dtype);
    token.expected[h] = stored(token.expected[h] * token.runner.factor + shared, model.dtype);
  }
}

// What this cannot tell yet.
void check_told(const ExplainedWorld& world) {
  const WorldSpec& ranks = world.scenario.world;
  const auto refuse = [](const std::string& why) {
    throw ScenarioError(text("explain: ", why, ", which is not told yet"));
  };
  if (ranks.pcp > 1) refuse("the scenario has prefill context parallelism (world.pcp)");
  if (!ranks.expert_parallel && ranks.num_ranks() > 1) {
    refuse("every expert is cut over the ranks (world.ep: false)");
  }
  if (world.scenario.eplb) refuse("experts move between ranks (eplb)");
  if (world.scenario.dp_chunking) refuse("the layer is called chunk by chunk (dp_chunking)");
  // In exact worlds the parts of a shared expert add up to it in every order, so it is told whole.
  const bool is_real = world.scenario.values == Values::real;
  if (is_real && shared_is_cut(world.scenario)) {
    refuse("the shared experts are cut over the ranks of world.tp in a real world");
  }
  if (world.scenario.model.router_weight_on_input) {
    refuse("the router weight is on the input");
  }
}

std::vector<ExplainedChoice> explained_choices(const ExplainedWorld& world,
                                               const CellInputs& inputs, golden::Cell cell,
                                               Count token) {
  const Count top_k = inputs.topk_ids.tensor().columns;
  const auto ids = elements_of<std::int32_t>(inputs.topk_ids.tensor());
  const auto weights = elements_of<float>(inputs.topk_weights.tensor());
  const Tensor row = rows_of(inputs.hidden_states.tensor(), token, 1);
  std::vector<ExplainedChoice> choices;
  for (Count slot = 0; slot < top_k; ++slot) {
    const auto at = static_cast<std::size_t>(token * top_k + slot);
    ExplainedChoice choice{
        .slot = static_cast<int>(slot), .expert = ids[at], .weight = weights[at]};
    if (choice.expert >= 0) {
      choice.rank = world.expert_map.rank_of[static_cast<std::size_t>(choice.expert)];
      choice.local_expert = world.expert_map.local_of[static_cast<std::size_t>(choice.expert)];
      choice.output = expert_row(world, cell, row, choice.expert);
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

// The chosen experts in the order of their slots, then the others, best first.
std::vector<ExplainedScore> explained_scores(const ExplainedWorld& world,
                                             const TokenExplanation& token, Memory& memory) {
  if (!std::holds_alternative<LogitsRouting>(world.scenario.routing)) return {};
  const Buffer buffer = world.inputs.router_logits(token.cell, memory);
  const auto row = elements_of<float>(rows_of(buffer.tensor(), token.token, 1));
  const std::vector<float> logits(row.begin(), row.end());
  const RouterSpec spec = router_spec(world.scenario, token.cell.layer);
  const std::vector<double> scores = plain_scores(spec, logits);
  std::vector<ExplainedScore> explained;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    explained.push_back({.expert = static_cast<int>(e), .logit = logits[e], .score = scores[e]});
    if (!spec.correction_bias.empty()) explained[e].bias = spec.correction_bias[e];
  }
  for (const ExplainedChoice& choice : token.choices) {
    if (choice.expert >= 0) explained[static_cast<std::size_t>(choice.expert)].slot = choice.slot;
  }
  std::ranges::stable_sort(explained, [](const ExplainedScore& a, const ExplainedScore& b) {
    if (a.slot >= 0 && b.slot >= 0) return a.slot < b.slot;
    return a.slot >= 0 || (b.slot < 0 && a.decides() > b.decides());
  });
  return explained;
}

}  // namespace

bool shared_is_cut(const Scenario& scenario) {
  const WorldSpec& ranks = scenario.world;
  return ranks.tp > 1 && !ranks.sequence_parallel && scenario.model.num_shared_experts > 0;
}

ExplainedWorld explained_world(const Scenario& scenario, const WorldInputs& inputs,
                               const std::string& backend) {
  const std::string emulated(emulation_of(backend));
  const Capabilities& capabilities = backend_named(emulated).backend->capabilities;
  return {scenario,
          inputs,
          backend,
          capabilities,
          expert_map_in(scenario, capabilities, scenario.world.expert_ranks()),
          profile_with(backend).name};
}

int source_of(const TokenExplanation& token, int rank) {
  const auto size = static_cast<int>(token.homes.size());
  return token.homes[static_cast<std::size_t>(rank % size)];
}

TokenExplanation explain_token(const ExplainedWorld& world, golden::Cell cell, Count token) {
  check_told(world);
  const std::unique_ptr<Memory> memory = make_host_memory(Poison::off);
  const CellInputs inputs = world.inputs.cell(cell, *memory);
  const Tensor row = rows_of(inputs.hidden_states.tensor(), token, 1);
  TokenExplanation explained{.cell = cell, .token = token};
  explained.hidden_state.resize(static_cast<std::size_t>(row.columns));
  golden::read_row(row, 0, explained.hidden_state);
  explained.choices = explained_choices(world, inputs, cell, token);
  explained.scores = explained_scores(world, explained, *memory);
  explained.holders = token_holders(world, cell.step, cell.rank, token);
  explained.homes = token_homes(world, cell.step, cell.rank, token);
  explained.reached = reached_ranks(world, explained.homes,
                                    world.inputs.topk_ids(cell.step, cell.layer, cell.rank, token));
  explained.quantising = explained_quantising(world, explained);
  const DType dtype = world.scenario.model.dtype;
  for (const ReductionStage& stage : world.capabilities.recipe) {
    explained.stages.push_back(explained_stage(stage, explained, dtype));
  }
  if (explained.homes.size() > 1) explained.stages.push_back(stage_over_tp(explained, dtype));
  if (explained.stages.empty() || explained.stages.back().sums.size() != 1) {
    throw ScenarioError(
        text("explain: backend ", world.backend, " declares no recipe that ends in one row"));
  }
  explained.expected = weighted_sum(world, explained);
  run_home(world, row, explained);
  return explained;
}

namespace {

// Rows of a backend that gathers or moves nothing.
void count_gathered(const ExplainedWorld& world, golden::Cell cell, Count token,
                    StepExplanation& explained) {
  const std::vector<std::int16_t> ids = row_choices(world, cell, token);
  const std::vector<int> homes = token_homes(world, cell.step, cell.rank, token);
  for (const int to : reached_ranks(world, homes, ids)) {
    const auto size = static_cast<int>(homes.size());
    const auto from = static_cast<std::size_t>(homes[static_cast<std::size_t>(to % size)]);
    const bool owns_one = std::ranges::any_of(ids, [&](std::int16_t expert) {
      return expert >= 0 && world.expert_map.rank_of[static_cast<std::size_t>(expert)] == to;
    });
    ++explained.sent[from][static_cast<std::size_t>(to)];
    explained.met[from][static_cast<std::size_t>(to)] += owns_one ? 1 : 0;
  }
}

// Choices that experts compute: of tokens that several ranks send, once for each.
void count_choices(const ExplainedWorld& world, golden::Cell cell, Count token,
                   StepExplanation& explained) {
  const Count times = sends_replicas(world) ? world.scenario.world.tp : 1;
  for (const std::int16_t expert : row_choices(world, cell, token)) {
    if (expert < 0) {
      explained.masked += times;
    } else {
      explained.choices_of[static_cast<std::size_t>(expert)] += times;
    }
  }
}

}  // namespace

StepExplanation explain_step(const ExplainedWorld& world, int step, int layer) {
  check_told(world);
  const auto num_ranks = static_cast<std::size_t>(world.expert_map.num_ranks());
  const RowCounts tokens = world.inputs.tokens(step);
  StepExplanation explained{.step = step, .layer = layer};
  explained.tokens.assign(tokens.begin(), tokens.end());
  explained.sent.assign(num_ranks, std::vector<Count>(num_ranks));
  explained.met = explained.sent;
  explained.choices_of.resize(static_cast<std::size_t>(world.expert_map.num_experts()));
  const bool to_owners = world.capabilities.dispatch_reach == DispatchReach::owner_ranks;
  for (int source = 0; source < static_cast<int>(tokens.size()); ++source) {
    const Count num_rows = dispatched_rows(world, step, source);
    explained.num_padding += num_rows - tokens[static_cast<std::size_t>(source)];
    for (Count token = 0; token < num_rows; ++token) {
      count_choices(world, {step, layer, source}, token, explained);
      if (!to_owners) count_gathered(world, {step, layer, source}, token, explained);
    }
  }
  if (!to_owners) return explained;
  explained.arrivals = explained_arrivals(world, step, layer);
  for (std::size_t to = 0; to < num_ranks; ++to) {
    for (const ExplainedArrival& row : explained.arrivals[to]) {
      ++explained.sent[static_cast<std::size_t>(row.from)][to];
    }
  }
  explained.met = explained.sent;
  return explained;
}

}  // namespace moe::sim
