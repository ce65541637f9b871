// The generator of small worlds. Every parameter is one draw from mix, in a fixed order: a change
// of the order is a change of every world.

#include "sim/small_worlds.h"

#include <algorithm>

#include "backends/placement/expert_placement.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "sim/eplb_rules.h"

namespace moe::sim {
namespace {

constexpr int stream_small_world = 7;
constexpr Count tokens_max = 16;  // of all ranks and steps
constexpr Count gloo_every = 50;

// The draws of one world, numbered as they come.
class Draws {
 public:
  Draws(std::uint64_t seed, Count index) : seed_(seed), index_(index) {}

  // A number from 0 to limit - 1.
  Count below(Count limit) {
    return static_cast<Count>(next() % static_cast<std::uint64_t>(limit));
  }
  int int_below(int limit) { return static_cast<int>(below(limit)); }

  // As files hold seeds: not negative.
  std::uint64_t seed() { return next() >> 1U; }

 private:
  std::uint64_t next() { return mix(seed_, stream_small_world, index_, count_++); }

  std::uint64_t seed_;
  Count index_;
  int count_ = 0;
};

ModelSpec drawn_model(Draws& draws) {
  ModelSpec model;
  model.num_experts = 1 + draws.int_below(12);
  model.top_k = 1 + draws.int_below(std::min(8, model.num_experts));
  model.hidden_size = 1 + draws.below(40);
  model.intermediate_size = 1 + draws.below(24);
  model.num_layers = 1 + draws.int_below(2);
  model.kernel = draws.below(2) == 0 ? ExpertKernel::probe : ExpertKernel::exact_gemm;
  model.placement = draws.below(2) == 0 ? Placement::linear : Placement::round_robin;
  constexpr std::array row_types = {DType::bf16, DType::f16, DType::f32};
  model.dtype = row_types[static_cast<std::size_t>(draws.below(std::ssize(row_types)))];
  return model;
}

// One to three steps; a rank is often idle, a step now and then empty, the world never.
std::vector<std::vector<Count>> drawn_steps(Draws& draws, int ranks) {
  std::vector<std::vector<Count>> steps(static_cast<std::size_t>(1 + draws.below(3)));
  Count left = tokens_max;
  for (std::vector<Count>& step : steps) {
    for (int rank = 0; rank < ranks; ++rank) {
      const Count tokens = draws.below(3) == 0 ? 0 : draws.below(std::min<Count>(left, 7) + 1);
      step.push_back(tokens);
      left -= tokens;
    }
  }
  if (left == tokens_max) steps[0][static_cast<std::size_t>(draws.below(ranks))] = 1;
  return steps;
}

HotRankRouting drawn_hot_rank(Draws& draws, const Scenario& scenario) {
  const ExpertMap owners = determine_expert_map(
      scenario.model.num_experts, scenario.world.num_ranks(), scenario.model.placement);
  const int expert = draws.int_below(scenario.model.num_experts);  // so that its rank has one
  return {owners.rank_of[static_cast<std::size_t>(expert)],
          static_cast<double>(1 + draws.below(10)) / 10};
}

// Rows of different experts, some of them masked.
ListedRouting drawn_list(Draws& draws, const ModelSpec& model) {
  ListedRouting routing;
  routing.ids.resize(static_cast<std::size_t>(1 + draws.below(3)));
  for (std::vector<int>& row : routing.ids) {
    const int first = draws.int_below(model.num_experts);
    for (int slot = 0; slot < model.top_k; ++slot) {
      const bool is_masked = draws.below(5) == 0;
      row.push_back(is_masked ? -1 : (first + slot) % model.num_experts);
    }
  }
  return routing;
}

RoutingSpec drawn_routing(Draws& draws, const Scenario& scenario) {
  switch (draws.below(6)) {
    case 0:
      return UniformRouting{};
    case 1:
      return SkewedRouting{static_cast<double>(1 + draws.below(6)) / 2};
    case 2:
      return OneHotExpertRouting{draws.int_below(scenario.model.num_experts)};
    case 3:
      return drawn_hot_rank(draws, scenario);
    case 4:
      return MaskedRouting{static_cast<double>(1 + draws.below(4)) / 4};  // 1: nobody chooses
    default:
      return drawn_list(draws, scenario.model);
  }
}

// Every third world of several ranks balances its experts, some of them with slots to spare.
void draw_balance(Draws& draws, Scenario& scenario) {
  const int ranks = scenario.world.dp;
  if (ranks == 1 || draws.below(3) != 0) return;
  ModelSpec& model = scenario.model;
  model.num_redundant_experts = (ranks - model.num_experts % ranks) % ranks;
  model.num_redundant_experts += ranks * draws.int_below(3);
  scenario.eplb = EplbSpec{
      .settings = {.window_size = 1 + draws.int_below(3), .step_interval = 1 + draws.int_below(3)}};
}

// Every third world sends codes, where its numbers survive them.
void draw_quantization(Draws& draws, Scenario& scenario) {
  if (draws.below(3) != 0) return;
  ModelSpec& model = scenario.model;
  const auto number = static_cast<std::size_t>(draws.below(std::ssize(quant_schemes)));
  model.quantization = quant_schemes[number];
  if (!why_not_exact(model).empty() || !exact_bound(model).holds()) {
    model.quantization = quant_schemes[0];
  }
}

std::string balance_text(const Scenario& scenario) {
  if (!scenario.eplb) return {};
  const EplbSchedule& settings = scenario.eplb->settings;
  return text(", redundant experts ", scenario.model.num_redundant_experts, ", eplb window ",
              settings.window_size, " interval ", settings.step_interval);
}

std::string routing_text(const RoutingSpec& routing) {
  return std::visit(
      Cases{
          [](const UniformRouting&) { return std::string("uniform"); },
          [](const SkewedRouting& skewed) { return text("skewed by ", skewed.exponent); },
          [](const OneHotExpertRouting& one) { return text("expert ", one.expert, " always"); },
          [](const HotRankRouting& hot) {
            return text("rank ", hot.rank, " with a share of ", hot.share);
          },
          [](const MaskedRouting& masked) {
            return text("uniform, a share of ", masked.share, " masked");
          },
          [](const ListedRouting& listed) { return text("listed, ", listed.ids.size(), " rows"); },
          [](const LogitsRouting& logits) {
            return text("router logits of spread ", logits.spread, ", shift ", logits.shift);
          },
          [](const TraceRouting& trace) { return text("the trace ", trace.file); }},
      routing);
}

}  // namespace

Scenario plain_small_world(SmallSizes sizes) {
  Scenario scenario;
  scenario.name = "small world";
  scenario.world.dp = sizes.ranks;
  scenario.model.num_experts = sizes.experts;
  scenario.model.top_k = sizes.top_k;
  scenario.model.hidden_size = 5;
  scenario.model.intermediate_size = 3;
  scenario.max_num_batched_tokens = tokens_max;
  return scenario;
}

Scenario small_world(std::uint64_t seed, Count index) {
  Draws draws(seed, index);
  Scenario scenario = plain_small_world({.ranks = 1 + draws.int_below(4)});
  scenario.name = text("worlds/seed-", seed, "/", index);
  scenario.model = drawn_model(draws);
  scenario.steps = drawn_steps(draws, scenario.world.dp);
  scenario.routing = drawn_routing(draws, scenario);
  scenario.seed = draws.seed();
  scenario.routing_seed = draws.seed();
  draw_balance(draws, scenario);
  draw_quantization(draws, scenario);
  scenario.why = small_world_text(scenario);
  return scenario;
}

std::string small_world_text(const Scenario& scenario) {
  const ModelSpec& model = scenario.model;
  std::vector<std::string> steps;
  for (const auto& step : scenario.steps) steps.push_back(text("[", joined(step), "]"));
  return text("world: dp ", scenario.world.dp, ", experts ", model.num_experts, ", top_k ",
              model.top_k, ", hidden ", model.hidden_size, ", intermediate ",
              model.intermediate_size, ", layers ", model.num_layers, ", ", name_of(model.dtype),
              ", ", model.kernel == ExpertKernel::probe ? "probe" : "exact_gemm", ", ",
              model.placement == Placement::linear ? "linear" : "round_robin",
              model.quantization.activations == QuantRecipe::none
                  ? ""
                  : text(", quantised as ", model.quantization.name),
              ", routing ", routing_text(scenario.routing), balance_text(scenario), ", steps ",
              joined(steps));
}

std::vector<RunLine> lines_for_small_world(const Scenario& scenario, Count index,
                                           const RunOverrides& overrides) {
  std::vector<RunLine> lines;
  for (const std::string& backend : backends_for(scenario, overrides)) {
    RunLine line = line_with(backend);
    line.arrival_seed = static_cast<std::uint64_t>(index);  // 0: by rank
    add_line(lines, line, overrides);
    if (index % gloo_every != 0) continue;
    line.communicator = "gloo";
    add_line(lines, line, overrides);
  }
  std::erase_if(lines, [&scenario](const RunLine& line) {
    return !why_without_eplb(scenario, line).why.empty();
  });
  return lines;
}

}  // namespace moe::sim
