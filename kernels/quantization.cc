// The doors of the quantising operators: recipes, settings and layouts are checked here, once for
// every device.

#include "kernels/quantization.h"

#include <algorithm>
#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "kernels/kernels.h"

namespace moe {
namespace {

void check_scale(const RecipeRow& row, const QuantSettings& settings) {
  const bool takes_scale =
      row.scale_rule == ScaleRule::given || row.scale_rule == ScaleRule::times_global;
  const Tensor& scale = settings.scale;
  const Count parts = settings.layout.parts;
  MOE_CHECK(takes_scale == (scale.data != nullptr),
            text(row.name, takes_scale ? " needs" : " makes its own", " scales, not ",
                 shape_text(scale)));
  MOE_CHECK(
      !takes_scale || (scale.dtype == DType::f32 && scale.rows == parts && scale.columns == 1),
      text("the scales of ", row.name, " in ", parts, " parts are [", parts, ", 1] f32, not ",
           shape_text(scale)));
  MOE_CHECK(
      !settings.scale_ub || row.recipe == QuantRecipe::fp8_dynamic_token,
      text("scale_ub ", *settings.scale_ub, " for ", row.name, ": only fp8_dynamic_token has one"));
}

void check_choice(const RecipeRow& row, const LayoutChoice& choice) {
  MOE_CHECK(choice.row_alignment > 0, text("scale rows aligned to ", choice.row_alignment));
  MOE_CHECK(choice.orientation == ScaleOrientation::row_major ||
                (choice.swizzle == ScaleSwizzle::none && size_of(row.scale_dtype) == 4),
            text("column-major scales of ", row.name, ": only f32 scales without a swizzle are"));
  MOE_CHECK(choice.swizzle == ScaleSwizzle::none ||
                (choice.swizzle == ScaleSwizzle::tiles_128x4 && size_of(row.scale_dtype) == 1 &&
                 row.recipe != QuantRecipe::fp8_block128_ue8m0_packed),
            text("swizzled scales of ", row.name, ": only nvfp4, mxfp4 and mxfp8 have tiles"));
  MOE_CHECK(
      choice.fp8 == Fp8Kind::fn || row.format == NumberFormat::e4m3fn,
      text("e4m3fnuz for ", row.name, ", whose codes are ", number_format_row(row.format).name));
  MOE_CHECK((!choice.group_columns && !choice.scale_dtype) || has_chosen_groups(row),
            text("groups or types of scales chosen for ", row.name, ", which has its own"));
  MOE_CHECK(
      choice.group_columns.value_or(0) >= 0 && is_row_type(choice.scale_dtype.value_or(DType::f32)),
      text("groups of ", choice.group_columns.value_or(0), " columns with ",
           name_of(choice.scale_dtype.value_or(DType::f32)), " scales for ", row.name));
}

void check_activations(const ActivationQuantization& how, std::string_view which) {
  const RecipeRow& row = recipe_row(how.recipe);
  if (how.recipe == QuantRecipe::none) return;
  MOE_CHECK(row.use != RecipeUse::weights && how.layout.parts == 1,
            text(which, " quantised by ", row.name, " in ", how.layout.parts, " parts"));
  check_scale(row, {.scale = how.scale.tensor(), .layout = how.layout});
  check_choice(row, how.layout);
}

}  // namespace

QuantizedRowsBuffers Kernels::quantize(const Tensor& rows, QuantRecipe recipe,
                                       const QuantSettings& settings) {
  const RecipeRow& row = recipe_row(recipe);
  const LayoutChoice& choice = settings.layout;
  MOE_CHECK(recipe != QuantRecipe::none, "the recipe none makes no quantised rows");
  MOE_CHECK(is_row_type(rows.dtype), text(row.name, " of ", shape_text(rows)));
  MOE_CHECK(choice.parts > 0 && rows.rows % choice.parts == 0,
            text(shape_text(rows), " in ", choice.parts, " parts"));
  check_scale(row, settings);
  check_choice(row, choice);
  QuantizedRowsBuffers quantized =
      empty_quantized_rows(memory(), quantized_layout(recipe, rows.rows, rows.columns, choice));
  do_quantize(rows, recipe, settings, quantized.view());
  return quantized;
}

Buffer Kernels::dequantize(const QuantizedRows& rows, DType dtype) {
  MOE_CHECK(is_row_type(dtype), text(layout_text(rows.layout), " as ", name_of(dtype)));
  require_consistent(rows);
  Buffer out(memory(), {rows.layout.rows, rows.layout.columns, dtype});
  do_dequantize(rows, out.tensor());
  return out;
}

Buffer Kernels::relayout_scales(const QuantizedRows& rows, const ScaleLayout& to) {
  require_consistent(rows);
  QuantizedLayout expected = rows.layout;
  expected.scales.orientation = to.orientation;
  expected.scales.swizzle = to.swizzle;
  expected.scales.padded_rows = to.padded_rows;
  expected.scales.padded_columns = to.padded_columns;
  expected.scales.part_rows = to.part_rows;
  MOE_CHECK(
      expected.scales == to && to.padded_rows >= to.rows && to.padded_columns >= to.columns,
      text("scales of ", layout_text(rows.layout), " laid out as [", to.rows, ", ", to.columns,
           "] ", name_of(to.dtype), " scales for ", to.group_rows, " x ", to.group_columns));
  MOE_CHECK(
      to.part_rows == 0 || (to.orientation == ScaleOrientation::column_major &&
                            to.swizzle == ScaleSwizzle::none && to.padded_rows % to.part_rows == 0),
      text("parts of ", to.part_rows, " rows: only column-major scales of ", to.padded_rows,
           " rows that they divide lie in parts"));
  MOE_CHECK(!rows.layout.has_zero_points,
            "zero points lie as scales do and are not laid out anew: " + layout_text(rows.layout));
  Buffer out(memory(), scales_shape(to));
  do_relayout_scales(rows, to, out.tensor());
  return out;
}

std::unique_ptr<QuantizedGemmExperts> Kernels::quantized_experts(QuantizedGemmWeights weights,
                                                                 Count num_local_experts) {
  require_consistent(weights.w13.view());
  require_consistent(weights.w2.view());
  const QuantizedLayout& w13 = weights.w13.layout;
  const QuantizedLayout& w2 = weights.w2.layout;
  const Count w13_rows = w2.columns * w13_rows_each(weights.activation);
  const auto has_whole_parts = [&](const QuantizedLayout& layout) {
    return layout.scales.group_rows == 1 ||
           layout.parts % std::max<Count>(num_local_experts, 1) == 0;
  };
  MOE_CHECK(w13.rows == num_local_experts * w13_rows &&
                w2.rows == num_local_experts * w13.columns && has_whole_parts(w13) &&
                has_whole_parts(w2) && is_row_type(weights.row_type),
            text("w13 ", layout_text(w13), " and w2 ", layout_text(w2), " of ", num_local_experts,
                 " experts, activation ", activation_row(weights.activation).name, ", rows ",
                 name_of(weights.row_type)));
  MOE_CHECK(weights.rounding == ActivationRounding::each || weights.a2.recipe != QuantRecipe::none,
            "an activation that is not rounded at each step becomes codes at once");
  const auto bias_fits = [&](const Tensor& bias, Count columns) {
    return bias.data == nullptr || (bias.dtype == weights.row_type &&
                                    bias.rows == num_local_experts && bias.columns == columns);
  };
  MOE_CHECK(bias_fits(weights.w13_bias.tensor(), w13_rows) &&
                bias_fits(weights.w2_bias.tensor(), w13.columns),
            text("w13_bias ", shape_text(weights.w13_bias.tensor()), " and w2_bias ",
                 shape_text(weights.w2_bias.tensor()), " of ", num_local_experts, " experts"));
  MOE_CHECK((weights.a1.recipe == QuantRecipe::none) == (weights.a2.recipe == QuantRecipe::none),
            text("a1 ", recipe_row(weights.a1.recipe).name, " and a2 ",
                 recipe_row(weights.a2.recipe).name, ": both are quantised, or none"));
  check_activations(weights.a1, "a1");
  check_activations(weights.a2, "a2");
  return do_quantized_experts(std::move(weights), num_local_experts);
}

bool is_rounded_before_product(const QuantizedGemmWeights& weights, const QuantizedLayout& matrix) {
  return weights.a1.recipe == QuantRecipe::none &&
         matrix.scales.granularity == ScaleGranularity::group && size_of(matrix.scales.dtype) == 2;
}

}  // namespace moe
