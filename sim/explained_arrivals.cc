// Who sends a token's row, and what arrives, where rows go to the owners of their choices: copies
// for ranks, or messages for experts' rooms. From choices and what a backend declares alone; a test
// holds it against what its dispatch delivers.

#include <algorithm>

#include "sim/backend_choice.h"
#include "sim/dispatched_tokens.h"
#include "sim/explanation.h"

namespace moe::sim {
namespace {

bool reaches_owners(const ExplainedWorld& world) {
  return world.capabilities.dispatch_reach == DispatchReach::owner_ranks;
}

bool is_batched(const ExplainedWorld& world) {
  return world.capabilities.activation_format == ActivationFormat::batched_experts;
}

// The ranks of a TP group deal the tokens out, the first ones one more (pplx).
int dealt_to(Count token, Count held, int parts) {
  Count end = 0;
  for (int part = 0; part < parts; ++part) {
    end += held / parts + (part < held % parts ? 1 : 0);
    if (token < end) return part;
  }
  return parts - 1;
}

// The id that a foreign or masked choice has for the experts of a rank: DeepEP hands out -1, vLLM
// makes of it an expert that is not there, the first, or the last where the rank owns the first.
int foreign_id(const ExplainedWorld& world, int rank) {
  const std::vector<int>& rank_of = world.expert_map.rank_of;
  const int last = static_cast<int>(rank_of.size()) - 1;
  const int replacement = rank_of.front() == rank ? last : 0;
  return rank_of[static_cast<std::size_t>(replacement)] == rank ? -1 : replacement;
}

// A choice's id as a rank reads it.
int id_read(const ExplainedWorld& world, int expert, int rank) {
  const bool is_here =
      expert >= 0 && world.expert_map.rank_of[static_cast<std::size_t>(expert)] == rank;
  const bool is_kept = world.capabilities.foreign_choices == ForeignChoices::as_sent;
  return is_here || is_kept ? expert : foreign_id(world, rank);
}

// The rows of one token that a rank gets from one sender.
void add_arrivals(const ExplainedWorld& world, const ExplainedArrival& row,
                  std::span<const std::int16_t> choices, int to,
                  std::vector<ExplainedArrival>& arrivals) {
  ExplainedArrival copy = row;
  bool owns_one = false;
  for (const std::int16_t expert : choices) {
    const bool is_here =
        expert >= 0 && world.expert_map.rank_of[static_cast<std::size_t>(expert)] == to;
    owns_one = owns_one || is_here;
    copy.ids.push_back(id_read(world, expert, to));
    if (!is_here || !is_batched(world)) continue;
    arrivals.push_back(row);
    arrivals.back().expert = expert;
  }
  if (owns_one && !is_batched(world)) arrivals.push_back(std::move(copy));
}

std::vector<int> token_senders(const ExplainedWorld& world, int step, int dp_rank, Count token) {
  return sends_replicas(world) ? token_holders(world, step, dp_rank, token)
                               : token_homes(world, step, dp_rank, token);
}

void add_token(const ExplainedWorld& world, golden::Cell cell, Count token,
               ExplainedArrivals& arrivals) {
  const std::vector<std::int16_t> choices = row_choices(world, cell, token);
  const Count held = world.inputs.tokens(cell.step)[static_cast<std::size_t>(cell.rank)];
  for (const int from : token_senders(world, cell.step, cell.rank, token)) {
    for (int to = 0; to < world.expert_map.num_ranks(); ++to) {
      add_arrivals(world, {from, cell.rank, token, token >= held}, choices, to,
                   arrivals[static_cast<std::size_t>(to)]);
    }
  }
}

}  // namespace

bool sends_replicas(const ExplainedWorld& world) {
  const WorldSpec& ranks = world.scenario.world;
  return reaches_owners(world) && ranks.tp > 1 && !ranks.sequence_parallel &&
         world.capabilities.tp_replicas == TpReplicas::send_all;
}

Count dispatched_rows(const ExplainedWorld& world, int step, int dp_rank) {
  const WorldSpec& ranks = world.scenario.world;
  const Count held = world.inputs.tokens(step)[static_cast<std::size_t>(dp_rank)];
  return ranks.sequence_parallel ? (held + ranks.tp - 1) / ranks.tp * ranks.tp : held;
}

std::vector<std::int16_t> row_choices(const ExplainedWorld& world, golden::Cell cell, Count row) {
  if (row < world.inputs.tokens(cell.step)[static_cast<std::size_t>(cell.rank)]) {
    const auto chosen = world.inputs.topk_ids(cell.step, cell.layer, cell.rank, row);
    return {chosen.begin(), chosen.end()};
  }
  return world.inputs.topk_ids_of_zeros(cell.layer);
}

// Under sequence parallelism each token is in one rank's share (distribution-layer.md, 4.3).
std::vector<int> token_holders(const ExplainedWorld& world, int step, int dp_rank, Count token) {
  const WorldSpec& ranks = world.scenario.world;
  const int first = dp_rank * ranks.tp;
  if (ranks.sequence_parallel) {
    const Count held = world.inputs.tokens(step)[static_cast<std::size_t>(dp_rank)];
    return {first + static_cast<int>(token / ((held + ranks.tp - 1) / ranks.tp))};
  }
  std::vector<int> holders;
  for (int rank = first; rank < first + ranks.tp; ++rank) holders.push_back(rank);
  return holders;
}

std::vector<int> token_homes(const ExplainedWorld& world, int step, int dp_rank, Count token) {
  const std::vector<int> holders = token_holders(world, step, dp_rank, token);
  if (!reaches_owners(world) || holders.size() == 1) return holders;
  if (sends_replicas(world)) return {holders.front()};
  const Count held = world.inputs.tokens(step)[static_cast<std::size_t>(dp_rank)];
  return {holders.front() + dealt_to(token, held, static_cast<int>(holders.size()))};
}

Count columns_on_wire(const ExplainedWorld& world, int layer) {
  const ModelSpec& model = world.scenario.model;
  return wire_columns(world.capabilities.limits, model.layer(layer).hidden_size, model.dtype);
}

ExplainedArrivals explained_arrivals(const ExplainedWorld& world, int step, int layer) {
  const RowCounts tokens = world.inputs.tokens(step);
  ExplainedArrivals arrivals(static_cast<std::size_t>(world.expert_map.num_ranks()));
  for (int dp_rank = 0; dp_rank < static_cast<int>(tokens.size()); ++dp_rank) {
    for (Count token = 0; token < dispatched_rows(world, step, dp_rank); ++token) {
      add_token(world, {step, layer, dp_rank}, token, arrivals);
    }
  }
  for (std::vector<ExplainedArrival>& rows : arrivals) {
    std::ranges::stable_sort(
        rows, {}, [](const ExplainedArrival& row) { return std::pair(row.expert, row.from); });
  }
  return arrivals;
}

std::vector<int> ids_read(const ExplainedWorld& world, const TokenExplanation& token, int rank) {
  std::vector<int> ids;
  for (const ExplainedChoice& choice : token.choices) {
    ids.push_back(id_read(world, choice.expert, rank));
  }
  return ids;
}

Count room_of_expert(const ExplainedWorld& world) {
  const TpSources sources = tp_sources(world.capabilities, world.scenario.world);
  const int dispatchers = world.expert_map.num_ranks() / (sources.are_split ? sources.replicas : 1);
  return max_num_tokens(world.scenario, world.capabilities, profile_named(world.profile)) *
         dispatchers;
}

}  // namespace moe::sim
