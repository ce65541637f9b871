// Rows that a rank puts into the batched format by itself: the bytes of the standard form, on
// made-up choices with masks, foreign experts, empty experts and no rows at all.

#include "backends/batched_experts.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

namespace {

constexpr int num_experts = 9;
constexpr Count hidden = 20;

// Every third expert is here.
std::vector<int> expert_map() {
  std::vector<int> slots;
  for (int expert = 0; expert < num_experts; ++expert) {
    slots.push_back(expert % 3 == 0 ? expert / 3 : -1);
  }
  return slots;
}

struct Rows {
  Buffer hidden_states;
  Buffer ids;
  Buffer weights;

  Rows(Memory& memory, Count count, int seed) {
    std::vector<double> values;
    std::vector<double> chosen;
    std::vector<double> factors;
    for (Count i = 0; i < count * hidden; ++i) {
      values.push_back(static_cast<double>(mix(seed, 0, i) % 17) - 8);
    }
    for (Count row = 0; row < count; ++row) {
      const auto first = static_cast<int>(mix(seed, 1, row) % num_experts);
      for (int k = 0; k < 3; ++k) {  // three experts, of which some are masked
        const bool is_masked = mix(seed, 2, row * 3 + k) % 4 == 0;
        chosen.push_back(is_masked ? -1 : (first + 2 * k) % num_experts);
        factors.push_back(1 + static_cast<double>(mix(seed, 3, row * 3 + k) % 4));
      }
    }
    hidden_states = rows_with(memory, {count, hidden, DType::bf16}, values);
    ids = rows_with(memory, {count, 3, DType::i32}, chosen);
    weights = rows_with(memory, {count, 3, DType::f32}, factors);
  }

  Dispatched dispatched() const {
    Dispatched all;
    all.hidden_states = hidden_states.tensor();
    all.routing = {.topk_ids = ids.tensor(), .topk_weights = weights.tensor()};
    return all;
  }
};

ProbeWeights signs(Memory& memory) {
  std::vector<double> values;
  for (Count i = 0; i < 3 * hidden; ++i) values.push_back(mix(7, i) % 2 == 0 ? 1 : -1);
  return {rows_with(memory, {3, hidden, DType::i8}, values)};
}

}  // namespace

TEST_CASE("local batched experts: the bytes of the standard form, weighted here or before") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  for (const auto weight : {RouterWeight::on_output, RouterWeight::on_input}) {
    const ExpertsConfig config{.kernels = *kernels,
                               .expert_map = expert_map(),
                               .num_local_experts = 3,
                               .router_weight = weight};
    const auto standard = make_standard_experts(config, signs(*memory));
    const auto batched = make_local_batched_experts(
        config, signs(*memory), make_expert_id_map(*kernels, config.expert_map));
    for (int seed = 1; seed <= 20; ++seed) {
      INFO("seed " << seed);
      const Rows rows(*memory, seed % 5 == 0 ? 0 : 1 + seed, seed);
      Dispatched one = rows.dispatched();
      Dispatched other = rows.dispatched();
      CHECK(values_of(standard->apply(one)) == values_of(batched->apply(other)));
    }
  }
}
