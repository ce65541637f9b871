// Worlds (numerics.md, 1 and 2): hidden states and weights from mix, ids from the routing, weights
// of real worlds from the trace where there is one. Experts are made_experts.cc. The streams'
// numbers are part of the contract with golden/oracle.py.

#include "sim/world_inputs.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
#include <set>

#include "backends/placement/expert_placement.h"
#include "kernels/base/bits.h"
#include "kernels/base/digest.h"
#include "kernels/base/mix.h"
#include "sim/generated_logits.h"
#include "sim/generated_routing.h"
#include "sim/quantization_choice.h"
#include "sim/registry.h"

namespace moe::sim {
namespace {

constexpr int stream_hidden = 1;
constexpr int stream_weight = 2;

// A row of hidden states, element by element: whole numbers of [-largest, largest] for probes, of
// [0, largest] for exact_gemm, numbers near normal ones in real worlds.
struct HiddenValues {
  ExpertKernel kernel;
  int largest;
  QuantRecipe recipe;
  bool is_odd_token;

  // Column h of `columns`.
  float operator()(std::uint64_t mixed, Count h, Count columns) const {
    if (kernel == ExpertKernel::probe && recipe != QuantRecipe::none) {
      return surviving_value(mixed, h, columns);
    }
    if (kernel == ExpertKernel::real) {
      return static_cast<float>(static_cast<double>(centred(mixed)) / centred_deviation);
    }
    const auto width = static_cast<std::uint64_t>(largest);
    if (kernel == ExpertKernel::exact_gemm) return static_cast<float>(mixed % (width + 1));
    return static_cast<float>(static_cast<int>(mixed % (2 * width + 1)) - largest);
  }

  // What the recipe's codes hold without loss: whole numbers of [-7, 7], or e2m1's own values; the
  // last of each group that shares a scale is of the largest ones (numerics.md, 1). Where all rows
  // share one, every other token has halves: so ranks differ in their largest.
  float surviving_value(std::uint64_t mixed, Count h, Count columns) const {
    constexpr std::array e2m1 = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
    const RecipeRow& row = recipe_row(recipe);
    const Count group = row.group_columns == 0 ? 128 : row.group_columns;
    const auto most = static_cast<float>(largest);
    const float part = recipe == QuantRecipe::fp8_dynamic_tensor && is_odd_token ? 0.5F : 1;
    if (h % group == group - 1 || h == columns - 1) return part * (mixed % 2 == 0 ? most : -most);
    const int drawn = static_cast<int>(mixed % 15) - 7;
    if (row.format != NumberFormat::e2m1) return part * static_cast<float>(drawn);
    const float magnitude = e2m1[static_cast<std::size_t>(std::abs(drawn))];
    return drawn < 0 ? -magnitude : magnitude;
  }
};

template <typename T>
void write_row(std::uint64_t started, HiddenValues value, std::span<std::byte> row) {
  auto* values = reinterpret_cast<T*>(row.data());
  const std::size_t columns = row.size() / sizeof(T);
  for (std::size_t h = 0; h < columns; ++h) {
    round_to(value(mixed_with(started, h), static_cast<Count>(h), static_cast<Count>(columns)),
             values[h]);
  }
}

// Of a token in real worlds without recorded weights: parts of 1 to 255 over their sum, of a single
// choice over 256.
void write_parts(std::uint64_t started, std::span<float> weights) {
  float sum = 0;
  for (std::size_t slot = 0; slot < weights.size(); ++slot) {
    weights[slot] = static_cast<float>(1 + mixed_with(started, slot) % 255);
    sum += weights[slot];
  }
  if (weights.size() == 1) sum = 256;
  for (float& weight : weights) weight /= sum;
}

// In whose codes rows may come to the experts: the scheme's, or those that a backend makes of them.
std::set<QuantRecipe> recipes_of_rows(const Scenario& scenario) {
  const QuantRecipe own = scenario.model.quantization.activations;
  std::set<QuantRecipe> recipes{own};
  if (scenario.values != Values::real) return recipes;  // codes lose nothing
  for (const RegistryRow& row : registry()) {
    const auto way = recipe_on_wire(row.backend->capabilities.quantization, own);
    if (way) recipes.insert(way->recipe);
  }
  return recipes;
}

// Whether any expert is computed in parts by the ranks of a group.
bool is_sharded(const Scenario& scenario) {
  const WorldSpec& world = scenario.world;
  const bool routed = !world.expert_parallel && world.expert_ranks() > 1;
  const bool shared =
      scenario.model.num_shared_experts > 0 && world.tp > 1 && !world.sequence_parallel;
  return routed || shared;
}

// A row times its router weight, both cast to the row's type.
void weight_row(DType dtype, float weight, std::span<std::byte> row) {
  for_row_type(dtype, [&](auto element) {
    using T = decltype(element);
    T held;
    round_to(weight, held);
    for (T& value : std::span(reinterpret_cast<T*>(row.data()), row.size() / sizeof(T))) {
      round_to(to_float(value) * to_float(held), value);
    }
  });
}

}  // namespace

WorldInputs::WorldInputs(const Scenario& scenario)
    : scenario_(scenario),
      num_layers_(scenario.model.num_layers),
      layers_in_file_(scenario.model.num_layers),
      tokens_(scenario.steps) {
  Count num_tokens = 0;
  if (const auto* spec = std::get_if<TraceRouting>(&scenario.routing)) {
    RoutingTrace trace = read_routing_trace(spec->path);
    recorded_ = true;
    layers_in_file_ = trace.num_layers;
    first_layer_ = spec->first_layer.value_or(0);
    num_layers_ = spec->last_layer.value_or(trace.num_layers) - first_layer_;
    const auto steps = trace.steps_for(scenario.world.dp);
    const int first = spec->first_step.value_or(0);
    const int last = spec->last_step.value_or(trace.num_steps);
    for (int step = 0; step < first; ++step) {
      first_token_ += total_rows(steps[static_cast<std::size_t>(step)]);
    }
    tokens_.assign(steps.begin() + first, steps.begin() + last);
    ids_ = std::move(trace.topk_ids);
    if (scenario.values == Values::real) weights_ = std::move(trace.topk_weights);
  }
  for (const auto& step : tokens_) {
    step_begin_.push_back(num_tokens);
    num_tokens += std::accumulate(step.begin(), step.end(), Count{0});
  }
  if (!recorded_) ids_ = generated_topk_ids(scenario, num_tokens);
  for (const QuantRecipe a1 : recipes_of_rows(scenario)) {
    for (int layer = 0; layer < num_layers_; ++layer) {
      oracles_[a1].push_back(std::make_unique<golden::Oracle>(oracle_model(layer, a1)));
    }
  }
}

Count WorldInputs::global_token(int step, int rank, Count token) const {
  const RowCounts counts = tokens(step);
  const Count own = counts[static_cast<std::size_t>(rank)];
  const Count before = rows_before(counts, rank);
  const Count begin = first_token_ + step_begin_[static_cast<std::size_t>(step)];
  switch (scenario_.token_order) {
    case TokenOrder::tokens_reversed:
      return begin + before + own - 1 - token;
    case TokenOrder::ranks_reversed:
      return begin + total_rows(counts) - before - own + token;
    default:
      return begin + before + token;
  }
}

std::size_t WorldInputs::choices_at(Count global, int layer) const {
  return static_cast<std::size_t>((global * layers_in_file_ + first_layer_ + layer) *
                                  scenario_.model.top_k);
}

std::span<const std::int16_t> WorldInputs::ids_of(Count global, int layer) const {
  return std::span(ids_).subspan(choices_at(global, layer),
                                 static_cast<std::size_t>(scenario_.model.top_k));
}

void WorldInputs::write_weights(Count global, int layer, std::span<float> weights) const {
  const std::uint64_t started = mix(scenario_.seed, stream_weight, first_layer_ + layer, global);
  if (!weights_.empty()) {
    const auto recorded = std::span(weights_).subspan(choices_at(global, layer), weights.size());
    std::ranges::copy(recorded, weights.begin());
  } else if (scenario_.values == Values::real) {
    write_parts(started, weights);
  } else {
    for (std::size_t slot = 0; slot < weights.size(); ++slot) {
      weights[slot] = static_cast<float>(1 + mixed_with(started, slot) % 2);
    }
  }
}

std::span<const std::int16_t> WorldInputs::topk_ids(int step, int layer, int rank,
                                                    Count token) const {
  return ids_of(global_token(step, rank, token), layer);
}

std::vector<std::int16_t> WorldInputs::topk_ids_of_zeros(int layer) const {
  return sim::topk_ids_of_zeros(scenario_, layer);
}

std::uint64_t WorldInputs::hidden_seed(int layer, Count global) const {
  return mix(scenario_.seed, stream_hidden, first_layer_ + layer, global);
}

void WorldInputs::hidden_row(golden::Cell cell, Count token, std::span<std::byte> row) const {
  const Count global = global_token(cell.step, cell.rank, token);
  const std::uint64_t started = hidden_seed(cell.layer, global);
  for_row_type(scenario_.model.dtype, [&](auto element) {
    const ModelSpec& model = scenario_.model;
    write_row<decltype(element)>(
        started, {model.kernel, hidden_max(model), model.quantization.activations, global % 2 != 0},
        row);
  });
}

void WorldInputs::dispatched_row(golden::Cell cell, Count token, std::span<std::byte> row) const {
  hidden_row(cell, token, row);
  if (!scenario_.model.router_weight_on_input) return;
  float weight = 0;
  write_weights(global_token(cell.step, cell.rank, token), cell.layer, {&weight, 1});
  weight_row(scenario_.model.dtype, weight, row);
}

CellInputs WorldInputs::cell(golden::Cell cell, Memory& memory) const {
  return inputs_of_ranks(cell, cell.rank + 1, memory);
}

CellInputs WorldInputs::inputs_of_ranks(golden::Cell cell, int last_rank, Memory& memory) const {
  const RowCounts counts = tokens(cell.step);
  const Count rows = rows_before(counts, last_rank) - rows_before(counts, cell.rank);
  const ModelSpec& model = scenario_.model;
  const Count hidden_size = model.layer(cell.layer).hidden_size;
  CellInputs inputs{Buffer(memory, {rows, hidden_size, model.dtype}),
                    Buffer(memory, {rows, model.top_k, DType::i32}),
                    Buffer(memory, {rows, model.top_k, DType::f32})};
  const Tensor& hidden = inputs.hidden_states.tensor();
  const auto ids = elements_of<std::int32_t>(inputs.topk_ids.tensor());
  const auto weights = elements_of<float>(inputs.topk_weights.tensor());
  const auto top_k = static_cast<std::size_t>(model.top_k);
  Count row = 0;
  for (; cell.rank < last_rank; ++cell.rank) {
    for (Count token = 0; token < counts[static_cast<std::size_t>(cell.rank)]; ++token, ++row) {
      hidden_row(cell, token, {row_at(hidden, row), static_cast<std::size_t>(row_bytes(hidden))});
      const Count global = global_token(cell.step, cell.rank, token);
      const std::size_t at = static_cast<std::size_t>(row) * top_k;
      std::ranges::copy(ids_of(global, cell.layer), ids.subspan(at).begin());
      write_weights(global, cell.layer, weights.subspan(at, top_k));
    }
  }
  return inputs;
}

Buffer WorldInputs::router_logits(golden::Cell cell, Memory& memory) const {
  const Count rows = tokens(cell.step)[static_cast<std::size_t>(cell.rank)];
  Buffer logits(memory, {rows, scenario_.model.num_experts, DType::f32});
  auto to = elements_of<float>(logits.tensor()).begin();
  for (Count token = 0; token < rows; ++token) {
    const Count global = global_token(cell.step, cell.rank, token);
    to = std::ranges::copy(generated_logits(scenario_, cell.layer, global), to).out;
  }
  return logits;
}

ExpertWeights WorldInputs::expert_weights(int layer, std::span<const int> experts,
                                          Memory& memory) const {
  return routed_experts(made_layer(layer), experts, memory);
}

ExpertWeights WorldInputs::shared_expert_weights(int layer, Memory& memory) const {
  return shared_expert(made_layer(layer), memory);
}

MadeLayer WorldInputs::made_layer(int layer) const {
  return {scenario_.model, scenario_.model.layer(layer), scenario_.seed, first_layer_ + layer};
}

const golden::Oracle& WorldInputs::oracle(int layer, QuantRecipe a1) const {
  const auto of_recipe = oracles_.find(a1);
  const auto& oracles = of_recipe != oracles_.end()
                            ? of_recipe->second
                            : oracles_.at(scenario_.model.quantization.activations);
  return *oracles[static_cast<std::size_t>(layer)];
}

golden::OracleModel WorldInputs::oracle_model(int layer, QuantRecipe a1) const {
  const ModelSpec& model = scenario_.model;
  return {.kernel = model.kernel,
          .seed = scenario_.seed,
          .num_experts = model.num_experts,
          .hidden_size = model.layer(layer).hidden_size,
          .intermediate_size = model.layer(layer).intermediate_size,
          .num_shared_experts = model.num_shared_experts,
          .dtype = model.dtype,
          .activation = model.activation,
          .has_bias = model.has_bias,
          .scale = model.scale,
          .router_weight_on_input = model.router_weight_on_input,
          .is_sharded = is_sharded(scenario_),
          .quantisation = judged_quantisation(scenario_, a1)};
}

std::vector<double> WorldInputs::expert_outputs(golden::Cell cell, int expert, const Tensor& rows,
                                                const RowsAtExperts& how) const {
  return oracle(cell.layer, how.a1)
      .outputs(first_layer_ + cell.layer, expert, rows, tensor_scales(cell, how));
}

std::vector<double> WorldInputs::activated(golden::Cell cell, int expert,
                                           const std::vector<double>& row,
                                           const RowsAtExperts& how) const {
  return oracle(cell.layer, how.a1)
      .activated(first_layer_ + cell.layer, expert, row, tensor_scales(cell, how));
}

bool WorldInputs::is_masked(int ep_rank) const {
  return std::ranges::count(scenario_.world.masked_ranks, ep_rank) > 0;
}

Buffer WorldInputs::answered_ids(const Tensor& topk_ids, Memory& memory) const {
  Buffer ids = copy_of(topk_ids, memory);
  const WorldSpec& world = scenario_.world;
  const ExpertMap owners = determine_expert_map(scenario_.model.num_experts, world.expert_ranks(),
                                                scenario_.model.placement);
  for (std::int32_t& id : elements_of<std::int32_t>(ids.tensor())) {
    if (id >= 0 && is_masked(owners.rank_of[static_cast<std::size_t>(id)])) id = -1;
  }
  return ids;
}

golden::Expected WorldInputs::expected(golden::Cell cell, const CellInputs& inputs,
                                       const RowsAtExperts& how) const {
  return expected_of(
      cell, {inputs.hidden_states.tensor(), inputs.topk_ids.tensor(), inputs.topk_weights.tensor()},
      how);
}

golden::Expected WorldInputs::expected_row(golden::Cell cell, const CellInputs& inputs, Count token,
                                           const RowsAtExperts& how) const {
  return expected_of(cell,
                     {rows_of(inputs.hidden_states.tensor(), token, 1),
                      rows_of(inputs.topk_ids.tensor(), token, 1),
                      rows_of(inputs.topk_weights.tensor(), token, 1)},
                     how);
}

golden::Expected WorldInputs::expected_of(golden::Cell cell, golden::OracleTokens tokens,
                                          const RowsAtExperts& how) const {
  const auto host = make_host_memory(Poison::off);
  Buffer answered;
  if (!scenario_.world.masked_ranks.empty()) {
    answered = answered_ids(tokens.topk_ids, *host);
    tokens.topk_ids = answered.tensor();
  }
  return oracle(cell.layer, how.a1)
      .expected(first_layer_ + cell.layer, tokens, tensor_scales(cell, how));
}

std::span<const golden::TensorScale> WorldInputs::tensor_scales(golden::Cell cell,
                                                                const RowsAtExperts& how) const {
  if (scenario_.values != Values::real || how.a1 != QuantRecipe::fp8_dynamic_tensor) return {};
  MadeScales* made = nullptr;
  {
    const std::lock_guard lock(scales_mutex_);
    made = &scales_[{cell.step, cell.layer, how.homes.has_every_row, how.homes.rank_of}];
  }
  std::call_once(made->once, [&] {
    const auto host = make_host_memory(Poison::off);
    const auto num_ranks = static_cast<int>(std::ssize(tokens(cell.step)));
    const CellInputs all = inputs_of_ranks({cell.step, cell.layer, 0}, num_ranks, *host);
    const Buffer answered = answered_ids(all.topk_ids.tensor(), *host);
    made->scales = oracle(cell.layer, how.a1)
                       .tensor_scales(first_layer_ + cell.layer,
                                      {all.hidden_states.tensor(), answered.tensor(),
                                       all.topk_weights.tensor()},
                                      how.homes);
  });
  return made->scales;
}

std::uint64_t WorldInputs::routing_digest(int step) const {
  std::vector<std::int16_t> ids;
  const Count begin = first_token_ + step_begin_[static_cast<std::size_t>(step)];
  for (Count token = begin; token < begin + total_rows(tokens(step)); ++token) {
    for (int layer = 0; layer < num_layers_; ++layer) {
      const auto chosen = ids_of(token, layer);
      ids.insert(ids.end(), chosen.begin(), chosen.end());
    }
  }
  return digest_of(std::as_bytes(std::span(ids)));
}

}  // namespace moe::sim
