// The rows, one for each recipe, in the recipes' order.
// Several recipes share a key: vLLM's keys say which numbers and which groups, not how they are
// rounded.

#include "backends/oracle/quant_keys.h"

#include <algorithm>
#include <array>

namespace moe {
namespace {

using enum QuantKey;

struct KeyRow {
  QuantRecipe recipe;
  std::optional<QuantKey> of_weights = {};
  std::optional<QuantKey> of_activations = {};
};
using Q = QuantRecipe;
constexpr std::array rows = {
    KeyRow{Q::none, none, none},
    KeyRow{Q::fp8_static_tensor, fp8_static_tensor, fp8_static_tensor},
    KeyRow{Q::fp8_dynamic_tensor, fp8_static_tensor, fp8_dynamic_tensor},
    KeyRow{Q::fp8_dynamic_token, {}, fp8_dynamic_token},
    KeyRow{Q::fp8_block128, {}, fp8_dynamic_128},
    KeyRow{Q::fp8_block128_triton, {}, fp8_dynamic_128},
    KeyRow{Q::fp8_block128_ue8m0, {}, fp8_dynamic_128},
    KeyRow{Q::fp8_block128_ue8m0_packed, {}, fp8_dynamic_128},
    KeyRow{Q::fp8_block128_deepep, {}, fp8_dynamic_128},
    KeyRow{Q::int8_dynamic_token, {}, int8_dynamic_token},
    KeyRow{Q::int8_dynamic_token_op, {}, int8_dynamic_token},
    KeyRow{Q::int8_static_tensor},
    KeyRow{Q::nvfp4, nvfp4_static, nvfp4_dynamic},
    KeyRow{Q::mxfp4_cutlass, mxfp4_static, mxfp4_dynamic},
    KeyRow{Q::mxfp4_even, mxfp4_static, mxfp4_dynamic},
    KeyRow{Q::mxfp4_ocp, mxfp4_static, mxfp4_dynamic},
    KeyRow{Q::mxfp8, mxfp8_static, mxfp8_dynamic},
    KeyRow{Q::mxfp8_torch, mxfp8_static, mxfp8_dynamic},
    KeyRow{Q::fp8_channel, fp8_static_channel},
    KeyRow{Q::fp8_block128x128, fp8_static_128_block},
    KeyRow{Q::int8_channel, int8_static_channel},
    KeyRow{Q::int4_uint4b8, int4_static},
    KeyRow{Q::int4_zero_point, int4_static},
    KeyRow{Q::int8_uint8b128, int8_static},
};

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].recipe != static_cast<QuantRecipe>(i)) return false;
  }
  return rows.size() == recipe_rows.size();
}
static_assert(is_in_order());

const KeyRow& row_of(QuantRecipe recipe) { return rows[static_cast<std::size_t>(recipe)]; }

}  // namespace

std::optional<QuantKey> weight_key_of(QuantRecipe weights) { return row_of(weights).of_weights; }

std::optional<QuantKey> activation_key_of(QuantRecipe activations) {
  return row_of(activations).of_activations;
}

const QuantScheme* oracle_scheme_of(const QuantizationScheme& scheme) {
  const auto weight = weight_key_of(scheme.weights);
  const auto activation = activation_key_of(scheme.activations);
  const auto row = std::ranges::find_if(all_quant_schemes(), [&](const QuantScheme& one) {
    return one.weight == weight && one.activation == activation;
  });
  return row == all_quant_schemes().end() ? nullptr : &*row;
}

}  // namespace moe
