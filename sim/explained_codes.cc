// What becomes codes on a row's way through one of its experts, as the judge's own quantisers make
// them (golden/quantise.h). Exact worlds' experts have weights of their own form: there only the
// row is told.

#include <algorithm>
#include <cmath>
#include <span>

#include "golden/requantisation.h"
#include "kernels/base/bits.h"
#include "sim/explanation.h"
#include "sim/quantization_choice.h"

namespace moe::sim {
namespace {

constexpr Count columns_told = 4;

// Which recipe, with what is given to it, in a matrix [rows, columns] whose first row is told.
struct Matrix {
  QuantRecipe recipe;
  std::vector<float> values;
  golden::QuantiseOrder order;
};

ExplainedCodes codes_of(const Matrix& matrix) {
  const RecipeRow& recipe = recipe_row(matrix.recipe);
  // The codes of a whole tensor are those of its scale, which is given (row_choices.cc).
  const std::string_view name =
      matrix.recipe == QuantRecipe::fp8_dynamic_tensor && !matrix.order.given.empty()
          ? "fp8_static_tensor"
          : recipe.name;
  const golden::QuantisedBytes bytes = golden::quantise(name, matrix.values, matrix.order);
  const std::vector<double> numbers = golden::numbers_of(name, bytes, matrix.order);
  const bool is_packed = number_format_row(recipe.format).values_per_byte == 2;
  const Count group = recipe.group_columns;
  ExplainedCodes told{.recipe = matrix.recipe};
  for (Count i = 0; i < std::min(columns_told, matrix.order.columns); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const int byte = bytes.data[static_cast<std::size_t>(is_packed ? i / 2 : i)];
    told.codes.push_back(!is_packed ? byte : i % 2 == 0 ? byte % 16 : byte / 16);
    const Count scale_at = group == 0 ? 0 : i / group;
    double scale = element_as_double(bytes.scales.data() + scale_at * size_of(recipe.scale_dtype),
                                     recipe.scale_dtype);
    if (recipe.scale_rule == ScaleRule::times_global) {
      scale /= static_cast<double>(matrix.order.given.front());
    }
    told.values.push_back(static_cast<double>(matrix.values[at]));
    told.scales.push_back(scale);
    told.numbers.push_back(numbers[at]);
  }
  return told;
}

std::vector<float> floats_of(std::span<const double> values) {
  return {values.begin(), values.end()};
}

// The row as it comes to an expert's rank; recipe none where no scale is known.
ExplainedCodes row_codes(const ExplainedWorld& world, const TokenExplanation& token,
                         const RowsAtExperts& how, int expert) {
  if (how.a1 == QuantRecipe::none) return {};
  float given = activation_scale(world.scenario);
  if (how.a1 == QuantRecipe::fp8_dynamic_tensor) {
    const auto scales = world.inputs.tensor_scales(token.cell, how);
    if (scales.empty()) return {};
    given = scales[static_cast<std::size_t>(expert)].rows;
  }
  return codes_of({how.a1,
                   floats_of(token.hidden_state),
                   {.rows = 1, .columns = std::ssize(token.hidden_state), .given = {given}}});
}

// The start of W2's first row, of a matrix that is quantised whole.
ExplainedCodes weight_codes(const ExplainedWorld& world, int layer, int expert, Memory& memory) {
  const QuantRecipe recipe = world.scenario.model.quantization.weights;
  if (recipe == QuantRecipe::none) return {};
  const ExpertWeights weights = world.inputs.expert_weights(layer, {&expert, 1}, memory);
  const Tensor& w2 = std::get<GemmWeights>(weights).w2.tensor();
  std::vector<float> values;
  for_row_type(w2.dtype, [&](auto element) {
    for (const auto value : elements_of<decltype(element)>(w2)) values.push_back(to_float(value));
  });
  golden::QuantiseOrder order{.rows = w2.rows, .columns = w2.columns};
  if (recipe_row(recipe).scale_rule == ScaleRule::times_global) {
    float most = 0;
    for (const float value : values) most = std::max(most, std::abs(value));
    order.given = {448.0F * 6.0F / most};
  }
  return codes_of({recipe, std::move(values), order});
}

// What stands between the products, rounded to the rows' type where a layer rounds it.
ExplainedCodes codes_between(const ExplainedWorld& world, const TokenExplanation& token,
                             const RowsAtExperts& how, const ExplainedChoice& choice) {
  const QuantRecipe recipe = world.scenario.model.quantization.activations;
  if (recipe == QuantRecipe::none) return {};
  std::vector<float> values;
  for (const double value :
       world.inputs.activated(token.cell, choice.expert, token.hidden_state, how)) {
    const bool stays_wide = world.scenario.model.quantization.rounding == ActivationRounding::never;
    for_row_type(stays_wide ? DType::f32 : world.scenario.model.dtype, [&](auto element) {
      round_to(static_cast<float>(value), element);
      values.push_back(to_float(element));
    });
  }
  float given = expert_quantization(world.scenario).between_scale;
  if (recipe == QuantRecipe::fp8_dynamic_tensor) {
    const auto scales = world.inputs.tensor_scales(token.cell, how);
    given = static_cast<float>(scales[static_cast<std::size_t>(choice.expert)].between);
  }
  const Count columns = std::ssize(values);
  return codes_of({recipe, std::move(values), {.rows = 1, .columns = columns, .given = {given}}});
}

}  // namespace

RowsAtExperts rows_come(const ExplainedWorld& world) {
  const Capabilities& capabilities = world.capabilities;
  const QuantRecipe asked = world.scenario.model.quantization.activations;
  const bool is_taken = recipe_on_wire(capabilities.quantization, asked).has_value();
  const bool moves_rows = capabilities.dispatch_reach != DispatchReach::own_rank;
  return rows_arriving(world.scenario, capabilities, moves_rows && is_taken);
}

ExplainedQuantising explained_quantising(const ExplainedWorld& world,
                                         const TokenExplanation& token) {
  const auto is_computed = [](const ExplainedChoice& choice) { return choice.expert >= 0; };
  const auto choice = std::ranges::find_if(token.choices, is_computed);
  if (choice == token.choices.end()) return {};
  const RowsAtExperts how = rows_come(world);
  ExplainedQuantising told{.expert = choice->expert,
                           .row = row_codes(world, token, how, choice->expert)};
  if (world.scenario.values != Values::real) return told;
  const auto memory = make_host_memory(Poison::off);
  told.weights = weight_codes(world, token.cell.layer, choice->expert, *memory);
  told.between = codes_between(world, token, how, *choice);
  return told;
}

}  // namespace moe::sim
