// Exact worlds (numerics.md, 1): hidden states, weights and experts from mix, ids from the routing.
// The streams' numbers are part of the contract with golden/oracle.py.

#include "sim/world_inputs.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/base/bits.h"
#include "kernels/base/digest.h"
#include "kernels/base/mix.h"
#include "sim/generated_logits.h"
#include "sim/generated_routing.h"

namespace moe::sim {
namespace {

constexpr int stream_hidden = 1;
constexpr int stream_weight = 2;
constexpr int stream_w13 = 3;
constexpr int stream_w2 = 4;

int exact_value(ExpertKernel kernel, std::uint64_t mixed) {
  if (kernel == ExpertKernel::probe) return static_cast<int>(mixed % 17) - 8;
  return static_cast<int>(mixed % 3);
}

int sign(std::uint64_t seed, Count expert, Count column) {
  return mix(seed, expert, column) % 2 == 0 ? 1 : -1;
}

template <typename T>
void write_row(std::uint64_t started, ExpertKernel kernel, std::span<std::byte> row) {
  auto* values = reinterpret_cast<T*>(row.data());
  const std::size_t columns = row.size() / sizeof(T);
  for (std::size_t h = 0; h < columns; ++h) {
    round_to(static_cast<float>(exact_value(kernel, mixed_with(started, h))), values[h]);
  }
}

// Rows of zeros with one value each.
template <typename ColumnOf, typename ValueOf>
void write_one_hot(const Tensor& rows, ColumnOf column_of, ValueOf value_of) {
  for_row_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const auto values = elements_of<T>(rows);
    std::fill(values.begin(), values.end(), T{});
    for (Count row = 0; row < rows.rows; ++row) {
      round_to(value_of(row),
               values[static_cast<std::size_t>(row * rows.columns + column_of(row))]);
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
  }
  for (const auto& step : tokens_) {
    step_begin_.push_back(num_tokens);
    num_tokens += std::accumulate(step.begin(), step.end(), Count{0});
  }
  if (!recorded_) ids_ = generated_topk_ids(scenario, num_tokens);
}

Count WorldInputs::global_token(int step, int rank, Count token) const {
  return first_token_ + step_begin_[static_cast<std::size_t>(step)] +
         rows_before(tokens(step), rank) + token;
}

std::span<const std::int16_t> WorldInputs::ids_of(Count global, int layer) const {
  const Count top_k = scenario_.model.top_k;
  const Count at = (global * layers_in_file_ + first_layer_ + layer) * top_k;
  return std::span(ids_).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(top_k));
}

std::span<const std::int16_t> WorldInputs::topk_ids(int step, int layer, int rank,
                                                    Count token) const {
  return ids_of(global_token(step, rank, token), layer);
}

std::uint64_t WorldInputs::hidden_seed(int layer, Count global) const {
  return mix(scenario_.seed, stream_hidden, first_layer_ + layer, global);
}

void WorldInputs::hidden_row(golden::Cell cell, Count token, std::span<std::byte> row) const {
  const std::uint64_t started = hidden_seed(cell.layer, global_token(cell.step, cell.rank, token));
  for_row_type(scenario_.model.dtype, [&](auto element) {
    write_row<decltype(element)>(started, scenario_.model.kernel, row);
  });
}

CellInputs WorldInputs::cell(golden::Cell cell, Memory& memory) const {
  const Count rows = tokens(cell.step)[static_cast<std::size_t>(cell.rank)];
  const ModelSpec& model = scenario_.model;
  CellInputs inputs{Buffer(memory, {rows, model.hidden_size, model.dtype}),
                    Buffer(memory, {rows, model.top_k, DType::i32}),
                    Buffer(memory, {rows, model.top_k, DType::f32})};
  const Tensor& hidden = inputs.hidden_states.tensor();
  const auto ids = elements_of<std::int32_t>(inputs.topk_ids.tensor());
  const auto weights = elements_of<float>(inputs.topk_weights.tensor());
  for (Count token = 0; token < rows; ++token) {
    hidden_row(cell, token, {row_at(hidden, token), static_cast<std::size_t>(row_bytes(hidden))});
    const Count global = global_token(cell.step, cell.rank, token);
    const auto chosen = ids_of(global, cell.layer);
    for (std::size_t slot = 0; slot < chosen.size(); ++slot) {
      const std::size_t at = static_cast<std::size_t>(token) * chosen.size() + slot;
      ids[at] = chosen[slot];
      weights[at] = static_cast<float>(
          1 + mix(scenario_.seed, stream_weight, first_layer_ + cell.layer, global, slot) % 2);
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

ExpertWeights WorldInputs::expert_weights(int layer, const ExpertMap& map, int rank,
                                          Memory& memory) const {
  const ModelSpec& model = scenario_.model;
  std::vector<Count> experts;  // of this rank, by slot, numbered over all layers
  for (int expert = 0; expert < model.num_experts; ++expert) {
    if (map.rank_of[static_cast<std::size_t>(expert)] != rank) continue;
    experts.push_back(static_cast<Count>(first_layer_ + layer) * model.num_experts + expert);
  }
  const auto num_experts = static_cast<Count>(experts.size());
  const Count hidden = model.hidden_size;
  const auto expert_at = [&](Count row, Count rows_each) {
    return experts[static_cast<std::size_t>(row / rows_each)];
  };
  if (model.kernel == ExpertKernel::probe) {
    ProbeWeights weights{Buffer(memory, {num_experts, hidden, DType::i8})};
    const auto signs = elements_of<std::int8_t>(weights.signs.tensor());
    for (Count i = 0; i < num_experts * hidden; ++i) {
      signs[static_cast<std::size_t>(i)] =
          static_cast<std::int8_t>(sign(scenario_.seed, expert_at(i, hidden), i % hidden));
    }
    return weights;
  }
  const Count intermediate = model.intermediate_size;
  const auto mixed = [&](int stream, Count expert, Count row, Count columns) {
    return static_cast<Count>(mix(scenario_.seed, stream, expert, row) %
                              static_cast<std::uint64_t>(columns));
  };
  GemmWeights weights{.w13 = Buffer(memory, {num_experts * intermediate, hidden, model.dtype}),
                      .w2 = Buffer(memory, {num_experts * hidden, intermediate, model.dtype}),
                      .activation = Activation::relu2_no_mul};
  write_one_hot(
      weights.w13.tensor(),
      [&](Count row) {
        return mixed(stream_w13, expert_at(row, intermediate), row % intermediate, hidden);
      },
      [](Count) { return 1.0F; });
  write_one_hot(
      weights.w2.tensor(),
      [&](Count row) {
        return mixed(stream_w2, expert_at(row, hidden), row % hidden, intermediate);
      },
      [&](Count row) {
        return static_cast<float>(sign(scenario_.seed, expert_at(row, hidden), row % hidden));
      });
  return weights;
}

golden::OracleExperts WorldInputs::oracle_experts(int layer) const {
  return {.kernel = scenario_.model.kernel,
          .seed = scenario_.seed,
          .layer = first_layer_ + layer,
          .num_experts = scenario_.model.num_experts,
          .intermediate_size = scenario_.model.intermediate_size};
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
