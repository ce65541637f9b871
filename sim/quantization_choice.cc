// Scales of exact worlds are powers of two, since nothing else is exact; those of real worlds are
// not, and map the largest value that a world can have to the format's limit.

#include "sim/quantization_choice.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/mix.h"
#include "sim/placement_choice.h"

namespace moe::sim {
namespace {

constexpr double centred_max = 131070;  // of mix.h's centred
constexpr int headroom = 4;  // of exact worlds: a weight of 2 on the input, doubled by a probe

// Of what stands between the products: twice as large numbers as the rows have, but that exact
// worlds need no more.
float between_scale(const Scenario& scenario) {
  const float scale = activation_scale(scenario);
  if (scenario.values == Values::integers) return scale;
  const ScaleRule rule = recipe_row(scenario.model.quantization.activations).scale_rule;
  return rule == ScaleRule::times_global ? scale / 2 : scale * 2;
}

}  // namespace

float activation_scale(const Scenario& scenario) {
  const RecipeRow& recipe = recipe_row(scenario.model.quantization.activations);
  const float limit = number_format_row(recipe.format).limit;
  auto largest = static_cast<float>(centred_max / centred_deviation);
  if (scenario.values == Values::integers) {
    largest = static_cast<float>(hidden_max(scenario.model) * headroom);
  }
  if (recipe.scale_rule == ScaleRule::times_global) return 448.0F * limit / largest;
  if (recipe.scale_rule != ScaleRule::given) return 1;
  return scenario.values == Values::integers ? 1.0F / 16 : largest / limit;
}

RowQuantization row_quantization(const Scenario& scenario, const Capabilities& capabilities,
                                 bool layer_moves_rows) {
  const QuantRecipe asked = scenario.model.quantization.activations;
  if (asked == QuantRecipe::none) return {};
  const float scale = activation_scale(scenario);
  if (!layer_moves_rows) return {asked, QuantizedAt::after_receipt, scale};
  const auto way = recipe_on_wire(capabilities.quantization, asked);
  MOE_CHECK(way.has_value(), "a backend that does not take the scheme");
  return {way->recipe, way->at, scale, capabilities.quantization.static_scale_by_row,
          way->at == QuantizedAt::in_dispatch};
}

ExpertQuantization expert_quantization(const Scenario& scenario) {
  const QuantizationScheme& scheme = scenario.model.quantization;
  if (scenario.model.kernel == ExpertKernel::probe) return {};
  return {scheme.weights, scheme.activations, between_scale(scenario), scheme.rounding};
}

golden::ExpertQuantisation judged_quantisation(const Scenario& scenario, QuantRecipe a1) {
  const QuantizationScheme& scheme = scenario.model.quantization;
  if (scenario.values != Values::real || scheme.weights == QuantRecipe::none) return {};
  const auto name_of_codes = [](QuantRecipe recipe) {
    return recipe == QuantRecipe::none ? std::string_view() : recipe_row(recipe).name;
  };
  return {.weights = name_of_codes(scheme.weights),
          .a1 = name_of_codes(a1),
          .a2 = name_of_codes(scheme.activations),
          .a1_given = activation_scale(scenario),
          .a2_given = between_scale(scenario),
          .rounding = scheme.rounding};
}

namespace {

golden::ExpertHomes expert_homes(const Scenario& scenario, Placement placement,
                                 bool has_every_row) {
  const ModelSpec& model = scenario.model;
  const WorldSpec& world = scenario.world;
  if (!world.expert_parallel || world.expert_ranks() == 1) {
    return {std::vector<int>(static_cast<std::size_t>(model.num_experts)), true};
  }
  return {determine_expert_map(model.num_experts, world.expert_ranks(), placement).rank_of,
          has_every_row};
}

}  // namespace

RowsAtExperts rows_arriving(const Scenario& scenario, const Capabilities& capabilities,
                            bool layer_moves_rows) {
  RowsAtExperts how{row_quantization(scenario, capabilities, layer_moves_rows).recipe, {}};
  if (how.a1 != QuantRecipe::fp8_dynamic_tensor) return how;
  const bool to_owners =
      layer_moves_rows && capabilities.dispatch_reach == DispatchReach::owner_ranks;
  how.homes = expert_homes(scenario, placement_in(scenario, capabilities).placement, !to_owners);
  return how;
}

bool golden_knows(const Scenario& scenario, const RowsAtExperts& how) {
  if (scenario.values == Values::integers) return true;
  if (how.a1 != scenario.model.quantization.activations) return false;
  const bool is_gathered =
      std::ranges::count(scenario.runs, DispatchSite::runner, &RunLine::dispatch_site) > 0;
  return how.a1 != QuantRecipe::fp8_dynamic_tensor ||
         how.homes == expert_homes(scenario, Placement::linear, is_gathered);
}

RowQuantization quantization_done(RowQuantization contract, const std::vector<FaultSpec>& faults) {
  const bool is_late = std::ranges::count(faults, "MF-13", &FaultSpec::name) > 0;
  if (is_late && contract.at != QuantizedAt::nowhere) contract.at = QuantizedAt::after_receipt;
  return contract;
}

}  // namespace moe::sim
