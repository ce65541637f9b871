// QuantRecipe: every way to quantise that somebody runs, by name, as one table of data: which
// numbers, which values share a scale, and each rounding on the way (experts-and-oracles.md, 8;
// numerics.md, 5). Backends name them, kernels compute them, the judge computes them again.
// Captures call fp8_block128_deepep fp8_block128, since no other is in one.

#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "kernels/base/quantized_rows.h"

namespace moe {

enum class QuantRecipe : std::uint8_t {
  none,
  fp8_static_tensor,
  fp8_dynamic_tensor,
  fp8_dynamic_token,
  fp8_block128,
  fp8_block128_triton,
  fp8_block128_ue8m0,
  fp8_block128_ue8m0_packed,
  fp8_block128_deepep,
  int8_dynamic_token,
  int8_dynamic_token_op,
  int8_static_tensor,
  nvfp4,
  mxfp4_cutlass,
  mxfp4_even,
  mxfp4_ocp,
  mxfp8,
  mxfp8_torch,
  fp8_channel,
  fp8_block128x128,
  int8_channel,
  int4_uint4b8,
  int4_zero_point,
  int8_uint8b128,
};

// How a scale s follows from a, the largest magnitude of the values that share it (with its floor),
// and L, the format's limit. Every operation in fp32, rounded to nearest.
enum class ScaleRule : std::uint8_t {
  none,
  given,                 // s comes with the call
  over_limit,            // a / L
  times_inverse_limit,   // a · (1 / L)
  power_of_two_up,       // the power of two from max(a / L, 1e-10) up
  times_global,          // e4m3(g · (a · (1 / 6))) with a global scale g that comes with the call
  exponent_of_sixth,     // the exponent bits of a · (1 / 6), cut
  exponent_even,         // a's exponent, one more if its mantissa is 1.75 or above, less 2
  exponent_less_two,     // a's exponent less 2
  exponent_of_limit_up,  // a / L rounded up to a power of two
  exponent,              // a's exponent
  symmetric_steps,  // max(largest / 7, smallest / -8), 127 and -128 for 8 bits, in the scales' type
  zero_point_steps,  // max(largest - smallest, 1e-5) / 15 in the scales' type
};

// How a code follows from x.
enum class CodeRule : std::uint8_t {
  none,
  times_inverse_scale,         // x · (1 / s)
  over_scale,                  // x / s
  times_limit_over_amax,       // x · (L / a), x · 0 where a is 0
  times_limit_over_amax_away,  // the same, halfway away from zero
  times_inverse_of_scaled,     // x · (1 / (s · (1 / g))), x · 0 where s is 0
  over_scale_or_zero,          // x / s, x · 0 where the byte of s is 0
};

// What a value that is not a number becomes. It never counts as a largest magnitude.
enum class NanRule : std::uint8_t { none, plus_limit, minus_limit, not_a_number, zero };

enum class RecipeUse : std::uint8_t { activations, weights, both };

// A recipe as data. Members in the order of the work: geometry, scale, code.
struct RecipeRow {
  QuantRecipe recipe = QuantRecipe::none;
  std::string_view name;
  RecipeUse use = RecipeUse::activations;
  NumberFormat format = NumberFormat::as_it_is;
  ScaleGranularity granularity = ScaleGranularity::none;
  Count group_rows = 0;  // as in ScaleLayout
  Count group_columns = 0;
  DType scale_dtype = DType::f32;
  ScaleRule scale_rule = ScaleRule::none;
  CodeRule code_rule = CodeRule::none;
  NanRule nan_rule = NanRule::none;
  float amax_floor = 0;      // a is at least this
  float scale_floor_of = 0;  // s is at least 1 / (L * this), where it is not 0
};

namespace recipe_table {
using F = NumberFormat;
using Q = QuantRecipe;
using U = RecipeUse;
using G = ScaleGranularity;
using S = ScaleRule;
using C = CodeRule;
using N = NanRule;
inline constexpr DType f32 = DType::f32;
inline constexpr DType e8m0 = DType::e8m0;

// In the order of the enumeration. The groups of the uint rows are the call's: 128 stands here.
inline constexpr std::array<RecipeRow, 24> rows = {{
    {Q::none, "none", U::both, F::as_it_is, G::none, 0, 0, f32, S::none, C::none, N::none, 0, 0},
    {Q::fp8_static_tensor, "fp8_static_tensor", U::both, F::e4m3fn, G::per_tensor, 0, 0, f32,
     S::given, C::times_inverse_scale, N::plus_limit, 0, 0},
    {Q::fp8_dynamic_tensor, "fp8_dynamic_tensor", U::both, F::e4m3fn, G::per_tensor, 0, 0, f32,
     S::over_limit, C::times_inverse_scale, N::plus_limit, 0, 0},
    {Q::fp8_dynamic_token, "fp8_dynamic_token", U::activations, F::e4m3fn, G::per_token, 1, 0, f32,
     S::over_limit, C::over_scale, N::plus_limit, 0, 512},
    {Q::fp8_block128, "fp8_block128", U::activations, F::e4m3fn, G::group, 1, 128, f32,
     S::over_limit, C::over_scale, N::minus_limit, 1e-10F, 0},
    {Q::fp8_block128_triton, "fp8_block128_triton", U::activations, F::e4m3fn, G::group, 1, 128,
     f32, S::times_inverse_limit, C::over_scale, N::minus_limit, 1e-10F, 0},
    {Q::fp8_block128_ue8m0, "fp8_block128_ue8m0", U::activations, F::e4m3fn, G::group, 1, 128, f32,
     S::power_of_two_up, C::over_scale, N::minus_limit, 1e-10F, 0},
    {Q::fp8_block128_ue8m0_packed, "fp8_block128_ue8m0_packed", U::activations, F::e4m3fn, G::group,
     1, 128, e8m0, S::power_of_two_up, C::over_scale, N::minus_limit, 1e-10F, 0},
    {Q::fp8_block128_deepep, "fp8_block128_deepep", U::activations, F::e4m3fn, G::group, 1, 128,
     f32, S::times_inverse_limit, C::times_limit_over_amax, N::not_a_number, 1e-4F, 0},
    {Q::int8_dynamic_token, "int8_dynamic_token", U::activations, F::int8, G::per_token, 1, 0, f32,
     S::over_limit, C::times_limit_over_amax_away, N::zero, 1e-10F, 0},
    {Q::int8_dynamic_token_op, "int8_dynamic_token_op", U::activations, F::int8, G::per_token, 1, 0,
     f32, S::over_limit, C::times_limit_over_amax, N::zero, 0, 0},
    {Q::int8_static_tensor, "int8_static_tensor", U::activations, F::int8, G::per_tensor, 0, 0, f32,
     S::given, C::over_scale, N::zero, 0, 0},
    {Q::nvfp4, "nvfp4", U::both, F::e2m1, G::group, 1, 16, DType::f8e4m3, S::times_global,
     C::times_inverse_of_scaled, N::plus_limit, 0, 0},
    {Q::mxfp4_cutlass, "mxfp4_cutlass", U::both, F::e2m1, G::group, 1, 32, e8m0,
     S::exponent_of_sixth, C::over_scale_or_zero, N::plus_limit, 0, 0},
    {Q::mxfp4_even, "mxfp4_even", U::both, F::e2m1, G::group, 1, 32, e8m0, S::exponent_even,
     C::over_scale, N::plus_limit, 0, 0},
    {Q::mxfp4_ocp, "mxfp4_ocp", U::both, F::e2m1, G::group, 1, 32, e8m0, S::exponent_less_two,
     C::over_scale, N::plus_limit, 0, 0},
    {Q::mxfp8, "mxfp8", U::both, F::e4m3fn, G::group, 1, 32, e8m0, S::exponent_of_limit_up,
     C::over_scale, N::not_a_number, 0, 0},
    {Q::mxfp8_torch, "mxfp8_torch", U::both, F::e4m3fn, G::group, 1, 32, e8m0, S::exponent,
     C::over_scale, N::not_a_number, 0, 0},
    {Q::fp8_channel, "fp8_channel", U::weights, F::e4m3fn, G::per_channel, 1, 0, f32, S::over_limit,
     C::over_scale, N::plus_limit, 0, 512},
    {Q::fp8_block128x128, "fp8_block128x128", U::weights, F::e4m3fn, G::block, 128, 128, f32,
     S::over_limit, C::over_scale, N::minus_limit, 1e-4F, 0},
    {Q::int8_channel, "int8_channel", U::weights, F::int8, G::per_channel, 1, 0, f32, S::over_limit,
     C::over_scale, N::zero, 0, 0},
    {Q::int4_uint4b8, "int4_uint4b8", U::weights, F::uint4b8, G::group, 1, 128, DType::f16,
     S::symmetric_steps, C::over_scale, N::zero, 0, 0},
    {Q::int4_zero_point, "int4_zero_point", U::weights, F::uint4, G::group, 1, 128, DType::f16,
     S::zero_point_steps, C::over_scale, N::zero, 0, 0},
    {Q::int8_uint8b128, "int8_uint8b128", U::weights, F::uint8b128, G::group, 1, 128, DType::f16,
     S::symmetric_steps, C::over_scale, N::zero, 0, 0},
}};
}  // namespace recipe_table

inline constexpr const auto& recipe_rows = recipe_table::rows;

constexpr const RecipeRow& recipe_row(QuantRecipe recipe) {
  return recipe_rows[static_cast<std::size_t>(recipe)];
}

// Whether a row's codes depend on all rows that are quantised with it: by their largest magnitude.
constexpr bool depends_on_all_rows(const RecipeRow& row) {
  return row.granularity == ScaleGranularity::per_tensor && row.scale_rule != ScaleRule::given;
}

// RETURNS nothing for a word that names no recipe.
constexpr std::optional<QuantRecipe> recipe_named(std::string_view word) {
  for (const RecipeRow& row : recipe_rows) {
    if (row.name == word) return row.recipe;
  }
  return std::nullopt;
}

// Two kinds of e4m3: ROCm's gfx94x has the second. Limits and floors follow the format.
enum class Fp8Kind : std::uint8_t { fn, fnuz };

// What a call may choose about a layout. Whatever is not chosen is the recipe's.
struct LayoutChoice {
  Count parts = 1;
  ScaleOrientation orientation = ScaleOrientation::row_major;
  ScaleSwizzle swizzle = ScaleSwizzle::none;
  Count row_alignment = 1;  // scale rows are padded to a multiple: 4 for TMA
  Fp8Kind fp8 = Fp8Kind::fn;
  std::optional<Count> group_columns = {};  // of the uint recipes; 0: one group a row
  std::optional<DType> scale_dtype = {};    // of the uint recipes: f16, bf16 or f32
};

constexpr bool has_chosen_groups(const RecipeRow& row) {
  return row.scale_rule == ScaleRule::symmetric_steps ||
         row.scale_rule == ScaleRule::zero_point_steps;
}

// The layout of rows x columns values. Padding follows the swizzle: 128 x 4, or by 4 columns.
constexpr QuantizedLayout quantized_layout(QuantRecipe recipe, Count rows, Count columns,
                                           const LayoutChoice& choice = {}) {
  const RecipeRow& row = recipe_row(recipe);
  QuantizedLayout layout{
      .format = row.format, .rows = rows, .columns = columns, .parts = choice.parts};
  if (row.format == NumberFormat::e4m3fn && choice.fp8 == Fp8Kind::fnuz) {
    layout.format = NumberFormat::e4m3fnuz;
  }
  layout.has_global_scale = row.scale_rule == ScaleRule::times_global;
  layout.has_zero_points = row.scale_rule == ScaleRule::zero_point_steps;
  ScaleLayout& scales = layout.scales;
  scales.granularity = row.granularity;
  scales.group_rows = row.group_rows;
  scales.group_columns =
      has_chosen_groups(row) ? choice.group_columns.value_or(row.group_columns) : row.group_columns;
  scales.dtype =
      has_chosen_groups(row) ? choice.scale_dtype.value_or(row.scale_dtype) : row.scale_dtype;
  scales.orientation = choice.orientation;
  const bool is_packed = recipe == QuantRecipe::fp8_block128_ue8m0_packed;
  scales.swizzle = is_packed ? ScaleSwizzle::packed_4 : choice.swizzle;
  if (row.format == NumberFormat::as_it_is) return layout;
  scales.rows = choice.parts * groups_of(rows / choice.parts, scales.group_rows);
  scales.columns = groups_of(columns, scales.group_columns);
  const bool is_tiled = scales.swizzle == ScaleSwizzle::tiles_128x4;
  const Count row_multiple = is_tiled ? 128 : is_packed ? 4 : 1;
  scales.padded_rows = padded_to(scales.rows, std::max(row_multiple, choice.row_alignment));
  scales.padded_columns = padded_to(scales.columns, scales.swizzle == ScaleSwizzle::none ? 1 : 4);
  return layout;
}

// What one row is on a wire, in bytes: its data, and its scales where it has its own. row_type:
// what rows are that nobody quantises.
struct WireBytes {
  Count data = 0;
  Count scales = 0;
};

constexpr WireBytes wire_bytes_per_row(QuantRecipe recipe, Count columns, DType row_type) {
  if (recipe == QuantRecipe::none) return {columns * size_of(row_type), 0};
  const QuantizedLayout layout = quantized_layout(recipe, 1, columns);
  const Shape data = data_shape(layout);
  const Count scales = layout.scales.columns * size_of(layout.scales.dtype);
  return {data.columns * size_of(data.dtype), layout.scales.group_rows == 1 ? scales : 0};
}

}  // namespace moe
