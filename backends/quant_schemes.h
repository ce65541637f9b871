// What model.quantization may say: which recipe makes codes of activations and which of weights
// (vLLM: the pairs of QuantKeys that its oracles know; experts-and-oracles.md, 1.4 and 10). Weight-
// only schemes send rows as they are. The fused ones leave roundings of the activation out,
// as the kernels that activation.h names do (read, UNVERIFIED by a run of them). Read by the
// scenario reader and by whoever makes experts.

#pragma once

#include <array>
#include <string_view>

#include "kernels/base/activation.h"
#include "kernels/base/quant_recipe.h"

namespace moe {

struct QuantizationScheme {
  std::string_view name;
  QuantRecipe activations = QuantRecipe::none;
  QuantRecipe weights = QuantRecipe::none;
  ActivationRounding rounding = ActivationRounding::each;  // of what stands between the products

  bool operator==(const QuantizationScheme&) const = default;
};

namespace quant_scheme_table {
using Q = QuantRecipe;
inline constexpr std::array<QuantizationScheme, 17> rows = {{
    {"none"},
    {"fp8_static", Q::fp8_static_tensor, Q::fp8_dynamic_tensor},
    {"fp8_dynamic", Q::fp8_dynamic_tensor, Q::fp8_dynamic_tensor},
    {"fp8_per_token", Q::fp8_dynamic_token, Q::fp8_channel},
    {"fp8_block128", Q::fp8_block128, Q::fp8_block128x128},
    {"fp8_block128_deepep", Q::fp8_block128_deepep, Q::fp8_block128x128},
    {"int8_per_token", Q::int8_dynamic_token, Q::int8_channel},
    {"nvfp4", Q::nvfp4, Q::nvfp4},
    {"mxfp4", Q::mxfp4_cutlass, Q::mxfp4_ocp},
    {"mxfp8", Q::mxfp8, Q::mxfp8},
    {"fp8_w8a16", Q::none, Q::fp8_channel},
    {"int8_w8a16", Q::none, Q::int8_uint8b128},
    {"int4_w4a16", Q::none, Q::int4_uint4b8},
    {"mxfp4_w4a16", Q::none, Q::mxfp4_ocp},
    {"nvfp4_w4a16", Q::none, Q::nvfp4},
    {"fp8_block128_fused", Q::fp8_block128, Q::fp8_block128x128, ActivationRounding::never},
    {"nvfp4_fused", Q::nvfp4, Q::nvfp4, ActivationRounding::once},
}};
}  // namespace quant_scheme_table

inline constexpr const auto& quant_schemes = quant_scheme_table::rows;

// Whether no scheme makes codes of rows by a recipe for weights, or the other way round.
constexpr bool are_recipes_in_place() {
  for (const QuantizationScheme& scheme : quant_schemes) {
    if (recipe_row(scheme.activations).use == RecipeUse::weights) return false;
    if (recipe_row(scheme.weights).use == RecipeUse::activations) return false;
  }
  return true;
}
static_assert(are_recipes_in_place());

// REQUIRES a name of the table.
constexpr const QuantizationScheme& quant_scheme_named(std::string_view name) {
  for (const QuantizationScheme& scheme : quant_schemes) {
    if (scheme.name == name) return scheme;
  }
  return quant_schemes[0];
}

}  // namespace moe
