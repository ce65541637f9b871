// The numbers of an explanation: choices, who receives the row, and the recipe replayed sum by sum.
// Experts are the oracle's; nothing of the layer is used here but what a backend declares.

#include "sim/explanation.h"

#include <algorithm>
#include <cmath>

#include "backends/placement/expert_placement.h"
#include "kernels/base/bits.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
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
  std::vector<double> row = world.inputs.expert_outputs(cell.layer, expert, hidden_state);
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

ExplainedStage explained_stage(const ReductionStage& stage, const TokenExplanation& token,
                               DType dtype) {
  ExplainedStage explained{stage, {}};
  std::vector<int> ranks = {token.cell.rank};
  if (stage.operands == Operands::local_slots) ranks = token.reached;
  for (const int rank : ranks) {
    ExplainedSum sum{.rank = rank};
    if (stage.operands != Operands::ranks) {
      sum.addends = chosen_rows(token, stage.operands, rank);
    } else if (!token.stages.empty()) {
      for (const ExplainedSum& partial : token.stages.back().sums) {
        sum.addends.push_back({-1, partial.rank, partial.result});
      }
    }
    sum.result = replayed(stage, sum.addends, token, dtype);
    explained.sums.push_back(std::move(sum));
  }
  return explained;
}

// Which ranks a token's row reaches, its own included where it stays there, ascending.
std::vector<int> reached_ranks(const ExplainedWorld& world, int source,
                               std::span<const std::int16_t> ids) {
  std::vector<int> reached;
  for (int rank = 0; rank < world.expert_map.num_ranks(); ++rank) {
    const bool owns_one = std::ranges::any_of(ids, [&](std::int16_t expert) {
      return expert >= 0 && world.expert_map.rank_of[static_cast<std::size_t>(expert)] == rank;
    });
    const DispatchReach reach = world.capabilities.dispatch_reach;
    const bool is_reached = reach == DispatchReach::every_rank ||
                            (reach == DispatchReach::owner_ranks && owns_one) ||
                            (reach == DispatchReach::own_rank && rank == source);
    if (is_reached) reached.push_back(rank);
  }
  return reached;
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

}  // namespace

ExplainedWorld explained_world(const Scenario& scenario, const WorldInputs& inputs,
                               const std::string& backend) {
  const ModelSpec& model = scenario.model;
  return {scenario, inputs, backend, backend_named(backend).backend->capabilities,
          determine_expert_map(model.num_experts, scenario.world.num_ranks(), model.placement)};
}

TokenExplanation explain_token(const ExplainedWorld& world, golden::Cell cell, Count token) {
  const std::unique_ptr<Memory> memory = make_host_memory(Poison::off);
  const CellInputs inputs = world.inputs.cell(cell, *memory);
  const Tensor row = rows_of(inputs.hidden_states.tensor(), token, 1);
  TokenExplanation explained{.cell = cell, .token = token};
  explained.hidden_state.resize(static_cast<std::size_t>(row.columns));
  golden::read_row(row, 0, explained.hidden_state);
  explained.choices = explained_choices(world, inputs, cell, token);
  explained.reached = reached_ranks(world, cell.rank,
                                    world.inputs.topk_ids(cell.step, cell.layer, cell.rank, token));
  for (const ReductionStage& stage : world.capabilities.recipe) {
    explained.stages.push_back(explained_stage(stage, explained, world.scenario.model.dtype));
  }
  if (explained.stages.empty() || explained.stages.back().sums.size() != 1) {
    throw ScenarioError(
        text("explain: backend ", world.backend, " declares no recipe that ends in one row"));
  }
  explained.output = explained.stages.back().sums.front().result;
  explained.expected = weighted_sum(world, explained);
  return explained;
}

StepExplanation explain_step(const ExplainedWorld& world, int step, int layer) {
  const auto num_ranks = static_cast<std::size_t>(world.expert_map.num_ranks());
  const RowCounts tokens = world.inputs.tokens(step);
  StepExplanation explained{.step = step, .layer = layer};
  explained.tokens.assign(tokens.begin(), tokens.end());
  explained.sent.assign(num_ranks, std::vector<Count>(num_ranks));
  explained.met = explained.sent;
  explained.choices_of.resize(static_cast<std::size_t>(world.expert_map.num_experts()));
  const auto count_token = [&](int source, Count token) {
    const auto from = static_cast<std::size_t>(source);
    const auto ids = world.inputs.topk_ids(step, layer, source, token);
    std::vector<bool> owns(num_ranks);
    for (const std::int16_t expert : ids) {
      explained.masked += expert < 0 ? 1 : 0;
      if (expert < 0) continue;
      const auto chosen = static_cast<std::size_t>(expert);
      ++explained.choices_of[chosen];
      owns[static_cast<std::size_t>(world.expert_map.rank_of[chosen])] = true;
    }
    for (const int to : reached_ranks(world, source, ids)) {
      const auto column = static_cast<std::size_t>(to);
      ++explained.sent[from][column];
      explained.met[from][column] += owns[column] ? 1 : 0;
    }
  };
  for (int source = 0; source < static_cast<int>(tokens.size()); ++source) {
    for (Count token = 0; token < tokens[static_cast<std::size_t>(source)]; ++token) {
      count_token(source, token);
    }
  }
  return explained;
}

}  // namespace moe::sim
