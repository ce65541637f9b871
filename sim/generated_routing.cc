// The generators: each token draws candidates from mix until it has top_k different experts.
// golden/oracle.py states the same rules; a golden holds the two together.

#include "sim/generated_routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/base/check.h"
#include "kernels/base/mix.h"
#include "sim/generated_logits.h"

namespace moe::sim {
namespace {

constexpr int stream_choice = 5;
constexpr int stream_mask = 6;

double unit_interval(std::uint64_t mixed) { return static_cast<double>(mixed >> 11U) * 0x1p-53; }

// The place of a token's choices: draws are numbered within it.
struct Draws {
  std::uint64_t seed;
  int layer;
  Count token;

  std::uint64_t operator()(int draw) const { return mix(seed, stream_choice, layer, token, draw); }
};

bool contains(const std::vector<int>& chosen, int expert) {
  return std::ranges::find(chosen, expert) != chosen.end();
}

// Draws until top_k different experts are there; after 64 draws a slot, the lowest ones left.
template <typename Candidate>
void choose(std::vector<int>& chosen, const ModelSpec& model, Candidate candidate) {
  const auto top_k = static_cast<std::size_t>(model.top_k);
  for (int draw = 0; chosen.size() < top_k && draw < 64 * model.top_k; ++draw) {
    const int expert = candidate(draw);
    if (!contains(chosen, expert)) chosen.push_back(expert);
  }
  for (int expert = 0; chosen.size() < top_k; ++expert) {
    if (!contains(chosen, expert)) chosen.push_back(expert);
  }
}

int uniform_expert(const Draws& draws, int draw, int num_experts) {
  return static_cast<int>(draws(draw) % static_cast<std::uint64_t>(num_experts));
}

void choose_uniform(std::vector<int>& chosen, const ModelSpec& model, const Draws& draws) {
  for (int draw = 0; chosen.size() < static_cast<std::size_t>(model.top_k); ++draw) {
    const int expert = uniform_expert(draws, draw, model.num_experts);
    if (!contains(chosen, expert)) chosen.push_back(expert);
  }
}

class Generator {
 public:
  explicit Generator(const Scenario& scenario) : scenario_(scenario), model_(scenario.model) {
    if (const auto* skewed = std::get_if<SkewedRouting>(&scenario.routing)) {
      double sum = 0;
      for (int expert = 0; expert < model_.num_experts; ++expert) {
        sum += std::pow(static_cast<double>(expert + 1), -skewed->exponent);
        cumulative_.push_back(sum);
      }
    }
    const ExpertMap map =
        determine_expert_map(model_.num_experts, scenario.world.expert_ranks(), Placement::linear);
    owned_.resize(static_cast<std::size_t>(map.num_ranks()));
    for (int expert = 0; expert < model_.num_experts; ++expert) {
      owned_[static_cast<std::size_t>(map.rank_of[static_cast<std::size_t>(expert)])].push_back(
          expert);
    }
  }

  std::vector<int> choices(int layer, Count token) const {
    const Draws draws{scenario_.routing_seed, layer, token};
    return std::visit([&](const auto& routing) { return choices_of(routing, draws); },
                      scenario_.routing);
  }

 private:
  std::vector<int> choices_of(const UniformRouting&, const Draws& draws) const {
    std::vector<int> chosen;
    choose_uniform(chosen, model_, draws);
    return chosen;
  }

  std::vector<int> choices_of(const SkewedRouting&, const Draws& draws) const {
    std::vector<int> chosen;
    choose(chosen, model_, [&](int draw) {
      const double place = unit_interval(draws(draw)) * cumulative_.back();
      const auto found = std::ranges::upper_bound(cumulative_, place);
      const auto expert = static_cast<int>(found - cumulative_.begin());
      return std::min(expert, model_.num_experts - 1);  // place may round up to the sum
    });
    return chosen;
  }

  std::vector<int> choices_of(const OneHotExpertRouting& routing, const Draws& draws) const {
    std::vector<int> chosen = {routing.expert};
    choose_uniform(chosen, model_, draws);
    return chosen;
  }

  std::vector<int> choices_of(const HotRankRouting& routing, const Draws& draws) const {
    const std::vector<int>& hot = owned_[static_cast<std::size_t>(routing.rank)];
    std::vector<int> chosen;
    choose(chosen, model_, [&](int draw) {
      const bool is_hot = unit_interval(draws(2 * draw)) < routing.share && !hot.empty();
      if (!is_hot) return uniform_expert(draws, 2 * draw + 1, model_.num_experts);
      return hot[static_cast<std::size_t>(draws(2 * draw + 1) % hot.size())];
    });
    return chosen;
  }

  std::vector<int> choices_of(const MaskedRouting& routing, const Draws& draws) const {
    std::vector<int> chosen = choices_of(UniformRouting{}, draws);
    for (std::size_t slot = 0; slot < chosen.size(); ++slot) {
      const auto mixed = mix(draws.seed, stream_mask, draws.layer, draws.token, slot);
      if (unit_interval(mixed) < routing.share) chosen[slot] = -1;
    }
    return chosen;
  }

  std::vector<int> choices_of(const ListedRouting& routing, const Draws& draws) const {
    return routing.ids[static_cast<std::size_t>(draws.token) % routing.ids.size()];
  }

  std::vector<int> choices_of(const LogitsRouting&, const Draws& draws) const {
    return plainly_chosen(scenario_, draws.layer, draws.token);
  }

  std::vector<int> choices_of(const TraceRouting&, const Draws&) const {
    throw ContractError("a trace's routing is read, not generated");
  }

  const Scenario& scenario_;
  const ModelSpec& model_;
  std::vector<double> cumulative_;
  std::vector<std::vector<int>> owned_;
};

}  // namespace

std::vector<std::int16_t> generated_topk_ids(const Scenario& scenario, Count num_tokens) {
  const Generator generator(scenario);
  std::vector<std::int16_t> ids;
  for (Count token = 0; token < num_tokens; ++token) {
    for (int layer = 0; layer < scenario.model.num_layers; ++layer) {
      for (const int expert : generator.choices(layer, token)) {
        ids.push_back(static_cast<std::int16_t>(expert));
      }
    }
  }
  return ids;
}

std::vector<std::int16_t> topk_ids_of_zeros(const Scenario& scenario, int layer) {
  if (std::holds_alternative<LogitsRouting>(scenario.routing)) {
    const std::vector<int> chosen = chosen_by_zeros(scenario, layer);
    return {chosen.begin(), chosen.end()};
  }
  std::vector<std::int16_t> first(static_cast<std::size_t>(scenario.model.top_k));
  std::iota(first.begin(), first.end(), std::int16_t{0});
  return first;
}

}  // namespace moe::sim
