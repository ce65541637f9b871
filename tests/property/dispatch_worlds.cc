// Runs a backend's two halves on local ranks. Values are small whole numbers, so that every sum is
// exact in bf16 and in any order.

#include "tests/property/dispatch_worlds.h"

#include <algorithm>
#include <cmath>

#include "backends/backend.h"
#include "comm/traced_communicator.h"
#include "tests/unit/kernels/host_rows.h"

namespace moe::test {
namespace {

const double nan_value = std::nan("");

// Nobody's values, so that runs can be compared: no NaN equals another.
Numbers comparable(Numbers values) {
  for (double& value : values) value = std::isnan(value) ? -1.0 : value;
  return values;
}

struct Inputs {
  Buffer hidden_states;
  Buffer topk_ids;
  Buffer topk_weights;
};

// The rows of one rank; as bytes they are compared after the call.
Inputs inputs_of(Memory& memory, const DispatchWorld& world, int rank, Count num_rows) {
  Numbers rows;
  Numbers ids;
  Numbers weights;
  for (Count row = 0; row < num_rows; ++row) {
    for (int k = 0; k < world.top_k; ++k) {
      const auto at = static_cast<std::size_t>(row * world.top_k + k);
      const int id = world.ids[static_cast<std::size_t>(rank)][at];
      const bool is_poisoned = id < 0 && world.unused == Unused::nans;
      ids.push_back(id);
      weights.push_back(is_poisoned ? nan_value : weight_of(world, rank, row, k));
    }
    const double factor = world.weight_on_input ? weight_of(world, rank, row, 0) : 1.0;
    for (Count column = 0; column < hidden_columns; ++column) {
      rows.push_back(row_value(rank, row, column) * factor);
    }
  }
  return {rows_with(memory, {num_rows, hidden_columns, DType::bf16}, rows),
          rows_with(memory, {num_rows, world.top_k, DType::i32}, ids),
          rows_with(memory, {num_rows, world.top_k, DType::f32}, weights)};
}

class DispatchRank {
 public:
  DispatchRank(const Backend& backend, const DispatchWorld& world, Communicator& group)
      : backend_(backend),
        world_(world),
        traced_(group.split(0, group.rank()), Agreement::trusted, {}, LastTensor::side),
        alone_(group.split(group.rank(), 0)),
        kernels_(make_cpu_kernels(group.memory())),
        map_(determine_expert_map(world.num_experts, world.num_ranks(), world.placement)),
        groups_{*alone_, *alone_, traced_, traced_},
        prepare_finalize_(
            backend.make({groups_,
                          make_parallel_config({.sizes = {.dp = world.num_ranks()}}, group.rank()),
                          traced_.memory(),
                          map_,
                          Provenance::travels,
                          NaiveForm::ep_group,
                          kernels_.get(),
                          backend.capabilities.fixed_capacity ? tokens_of_rank_max : 0,
                          world.weight_on_input,
                          {},
                          {},
                          world.arrival_seed})) {}

  // tokens: rows of each rank, the first of what it has.
  Call call(const std::vector<Count>& tokens) {
    const Count before = traced_.traffic().collectives;
    const Count num_rows = tokens[static_cast<std::size_t>(rank())];
    const Inputs inputs = inputs_of(traced_.memory(), world_, rank(), num_rows);
    const std::vector<Bytes> bytes = {bytes_in(inputs.hidden_states), bytes_in(inputs.topk_ids),
                                      bytes_in(inputs.topk_weights)};
    Dispatched dispatched = prepare_finalize_->prepare(
        inputs.hidden_states.tensor(), {inputs.topk_ids.tensor(), inputs.topk_weights.tensor()},
        tokens);
    Call seen = arrived(dispatched);
    const Buffer answers = answered(dispatched);
    const Buffer output(traced_.memory(), {num_rows, hidden_columns, DType::bf16});
    prepare_finalize_->finalize(answers.tensor(), std::move(dispatched), output.tensor());
    seen.home = values_of(output.tensor());
    seen.collectives = traced_.traffic().collectives - before;
    seen.inputs_unchanged =
        bytes == std::vector<Bytes>{bytes_in(inputs.hidden_states), bytes_in(inputs.topk_ids),
                                    bytes_in(inputs.topk_weights)};
    return seen;
  }

  // As words_of_flights says.
  bool fly(int begun) {
    const Inputs inputs = inputs_of(traced_.memory(), world_, rank(), own_tokens());
    std::vector<Dispatched> flights;
    for (int flight = 0; flight < begun; ++flight) flights.push_back(begin(inputs));
    land(std::move(flights.front()));
    flights.front() = begin(inputs);
    for (Dispatched& flight : flights) land(std::move(flight));
    return true;
  }

 private:
  Count own_tokens() const { return world_.tokens()[static_cast<std::size_t>(rank())]; }

  Dispatched begin(const Inputs& inputs) {
    return prepare_finalize_->prepare(inputs.hidden_states.tensor(),
                                      {inputs.topk_ids.tensor(), inputs.topk_weights.tensor()},
                                      world_.tokens());
  }

  void land(Dispatched dispatched) {
    const Buffer answers = answered(dispatched);
    const Buffer output(traced_.memory(), {own_tokens(), hidden_columns, DType::bf16});
    prepare_finalize_->finalize(answers.tensor(), std::move(dispatched), output.tensor());
    if (values_of(output.tensor()) != due(world_, rank())) throw ContractError("other rows home");
  }

  int rank() const { return traced_.rank(); }
  bool is_batched() const {
    return backend_.capabilities.activation_format == ActivationFormat::batched_experts;
  }

  Call arrived(const Dispatched& dispatched) {
    Call seen;
    const auto tags = elements_of<std::int64_t>(dispatched.provenance);
    seen.tags.assign(tags.begin(), tags.end());
    seen.rows = comparable(values_of(dispatched.hidden_states));
    seen.rows_per_rank = dispatched.handle.rows_per_rank;
    if (dispatched.expert_num_tokens.rows > 0) {
      seen.counts = values_of(dispatched.expert_num_tokens);
    }
    if (is_batched()) return seen;
    seen.ids = values_of(dispatched.routing.topk_ids);
    seen.weights = comparable(values_of(dispatched.routing.topk_weights));
    return seen;
  }

  Buffer answered(const Dispatched& dispatched) {
    const Tensor& rows = dispatched.hidden_states;
    Numbers values = values_of(rows);
    const auto tags = elements_of<std::int64_t>(dispatched.provenance);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows.rows); ++row) {
      const double factor = tags[row] < 0 ? 0.0 : factor_of(dispatched, row);
      const double unused = world_.unused == Unused::nans ? nan_value : 0.0;
      for (std::size_t i = row * hidden_columns; i < (row + 1) * hidden_columns; ++i) {
        values[i] = tags[row] < 0 ? unused : factor == 0.0 ? 0.0 : values[i] * factor;
      }
    }
    return rows_with(traced_.memory(), {rows.rows, rows.columns, rows.dtype}, values);
  }

  // Batched: the room's expert. Standard: the weighted sum over the choices that live here.
  double factor_of(const Dispatched& dispatched, std::size_t row) const {
    if (world_.answer == Answer::same) return 1.0;
    if (is_batched()) {
      const auto rooms = static_cast<std::size_t>(dispatched.expert_num_tokens.rows);
      const std::size_t each = static_cast<std::size_t>(dispatched.hidden_states.rows) / rooms;
      return expert_scale(expert_at(static_cast<int>(row / each)));
    }
    double sum = 0;
    const auto top_k = static_cast<std::size_t>(world_.top_k);
    const Numbers ids = values_of(dispatched.routing.topk_ids);
    const Numbers weights = values_of(dispatched.routing.topk_weights);
    for (std::size_t k = row * top_k; k < (row + 1) * top_k; ++k) {
      if (ids[k] < 0 || map_.rank_of[static_cast<std::size_t>(ids[k])] != rank()) continue;
      sum += expert_scale(static_cast<int>(ids[k])) * (world_.weight_on_input ? 1.0 : weights[k]);
    }
    return sum;
  }

  int expert_at(int slot) const {
    for (int expert = 0; expert < map_.num_experts(); ++expert) {
      const auto at = static_cast<std::size_t>(expert);
      if (map_.rank_of[at] == rank() && map_.local_of[at] == slot) return expert;
    }
    throw ContractError(text("no expert in slot ", slot));
  }

  const Backend& backend_;
  const DispatchWorld& world_;
  TracedCommunicator traced_;
  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Kernels> kernels_;
  ExpertMap map_;
  ParallelGroups groups_;
  std::unique_ptr<PrepareFinalize> prepare_finalize_;
};

// Every way to fill `slots` places with -1 or one of `experts`, none twice in a row of top_k.
std::vector<Ids> all_ids(int slots, int experts, int top_k) {
  std::vector<Ids> all{{}};
  for (int slot = 0; slot < slots; ++slot) {
    std::vector<Ids> longer;
    for (const Ids& one : all) {
      for (int id = -1; id < experts; ++id) {
        const auto row = one.begin() + slot / top_k * top_k;
        if (id >= 0 && std::find(row, one.end(), id) != one.end()) continue;
        longer.push_back(one);
        longer.back().push_back(id);
      }
    }
    all = std::move(longer);
  }
  return all;
}

// The first rows of a list are rank 0's.
DispatchWorld dealt(const Ids& ids, int experts, int top_k, const std::vector<Count>& tokens) {
  DispatchWorld world{.num_experts = experts, .top_k = top_k};
  auto from = ids.begin();
  for (const Count rows : tokens) {
    world.ids.emplace_back(from, from + rows * top_k);
    from += rows * top_k;
  }
  return world;
}

DispatchWorld made_up(int seed) {
  constexpr std::array sizes = {1, 2, 3, 4, 4, 2};
  const int ranks = sizes[mix(seed, 0) % 6];
  DispatchWorld world{.num_experts = ranks * (1 + static_cast<int>(mix(seed, 1) % 3))};
  world.top_k = 1 + static_cast<int>(mix(seed, 2) % 3);
  world.top_k = std::min(world.top_k, world.num_experts);
  for (int rank = 0; rank < ranks; ++rank) {
    Ids ids;
    const auto rows = static_cast<int>(mix(seed, 3, rank) % (tokens_of_rank_max + 1));
    for (int row = 0; row < rows; ++row) {
      const auto first = static_cast<int>(mix(seed, 4, rank, row) % 1000);
      for (int k = 0; k < world.top_k; ++k) {
        const bool is_masked = mix(seed, 5, rank, row * 8 + k) % 5 == 0;
        ids.push_back(is_masked ? -1 : (first + k) % world.num_experts);
      }
    }
    world.ids.push_back(ids);
  }
  return world;
}

}  // namespace

std::vector<Count> DispatchWorld::tokens() const {
  std::vector<Count> counts;
  for (const Ids& own : ids) counts.push_back(std::ssize(own) / top_k);
  return counts;
}

double expert_scale(int expert) { return 1 + expert % 3; }

double row_value(int rank, Count row, Count column) {
  return static_cast<double>(1 + (rank * 2 + row + column) % 4);
}

double weight_of(const DispatchWorld& world, int rank, Count row, int slot) {
  return world.ones ? 1.0 : static_cast<double>(1 + (rank + row + slot) % 2);
}

std::vector<std::vector<Call>> run_dispatch(const sim::RegistryRow& row,
                                            const DispatchWorld& world) {
  const auto outcomes = run_world({Wire::local, world.num_ranks()}, [&](Communicator& group) {
    DispatchRank rank(*row.backend, world, group);
    std::vector<Call> calls;
    for (int call = 0; call < world.calls; ++call) {
      std::vector<Count> tokens = world.tokens();
      if (call % 2 == 1) std::fill(tokens.begin(), tokens.end() - 1, 0);
      calls.push_back(rank.call(tokens));
    }
    return calls;
  });
  std::vector<std::vector<Call>> all;
  for (const auto& outcome : outcomes) {
    if (!outcome.value) throw std::runtime_error(text(row.name, ": ", outcome.error));
    all.push_back(*outcome.value);
  }
  return all;
}

std::string words_of_flights(const sim::RegistryRow& row, const DispatchWorld& world, int begun) {
  const auto outcomes = run_world({Wire::local, world.num_ranks()}, [&](Communicator& group) {
    return DispatchRank(*row.backend, world, group).fly(begun);
  });
  std::string words;
  for (const auto& outcome : outcomes) words += outcome.error;
  return words;
}

Numbers due(const DispatchWorld& world, int rank) {
  Numbers rows;
  for (Count row = 0; row < world.tokens()[static_cast<std::size_t>(rank)]; ++row) {
    double factor = 0;
    for (int k = 0; k < world.top_k; ++k) {
      const auto at = static_cast<std::size_t>(row * world.top_k + k);
      const int id = world.ids[static_cast<std::size_t>(rank)][at];
      if (id >= 0) factor += expert_scale(id) * weight_of(world, rank, row, k);
    }
    for (Count column = 0; column < hidden_columns; ++column) {
      rows.push_back(row_value(rank, row, column) * factor);
    }
  }
  return rows;
}

std::string refusal(const sim::RegistryRow& row, const DispatchWorld& world) {
  const Capabilities& has = row.backend->capabilities;
  if (!has.moves_between_dp_ranks && world.num_ranks() > 1) return "moves nothing";
  if (has.dispatch_reach != DispatchReach::owner_ranks) return "";
  return refusal_of(has, {.num_ranks = world.num_ranks(),
                          .hidden_size = hidden_columns,
                          .top_k = world.top_k,
                          .num_experts = world.num_experts,
                          .is_linear = world.placement == Placement::linear,
                          .weight_on_input = world.weight_on_input,
                          .max_num_tokens = tokens_of_rank_max});
}

std::vector<DispatchWorld> dispatch_worlds() {
  std::vector<DispatchWorld> worlds;
  for (const std::vector<Count>& tokens : {std::vector<Count>{2}, {1, 1}, {2, 0}, {0, 1}, {0, 0}}) {
    const Count rows = total_rows(tokens);
    for (const Ids& ids : all_ids(static_cast<int>(2 * rows), 2, 2)) {
      worlds.push_back(dealt(ids, 2, 2, tokens));
    }
  }
  for (const Ids& ids : all_ids(3, 4, 1)) worlds.push_back(dealt(ids, 4, 1, {2, 1}));
  for (int seed = 1; seed <= 60; ++seed) worlds.push_back(made_up(seed));
  return worlds;
}

}  // namespace moe::test
