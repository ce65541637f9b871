// Layouts and recipes as formats.cl and quantize.cl take them, member by member: what C++ types
// hold that OpenCL C has no words for stays behind. Included by this folder only.

#pragma once

#include "kernels/recipe_arithmetic.h"

namespace moe::xpu {

// Scales of formats.cl.
struct ScaleWords {
  Count group_rows = 0;
  Count group_columns = 0;
  Count rows = 0;
  Count columns = 0;
  Count padded_rows = 0;
  Count padded_columns = 0;
  std::int32_t dtype = 0;
  std::int32_t is_column_major = 0;
  std::int32_t swizzle = 0;
  std::int32_t part_rows = 0;
};

// Layout of formats.cl.
struct LayoutWords {
  ScaleWords scales;
  Count rows = 0;
  Count columns = 0;
  Count parts = 1;
  Count row_bytes = 0;
  std::int32_t format = 0;
  std::int32_t is_packed = 0;
};

// Recipe of quantize.cl.
struct RecipeWords {
  std::int32_t scale_rule;
  std::int32_t code_rule;
  std::int32_t nan_rule;
  std::int32_t format;
  std::int32_t scale_dtype;
  std::int32_t has_scale_ub;
  float limit;
  float amax_floor;
  float scale_floor_of;
  float scale_ub;
};

// The size of a GroupScale of quantize.cl.
inline constexpr Count group_scale_bytes = 16;

inline ScaleWords words_of(const ScaleLayout& scales) {
  return {.group_rows = scales.group_rows,
          .group_columns = scales.group_columns,
          .rows = scales.rows,
          .columns = scales.columns,
          .padded_rows = scales.padded_rows,
          .padded_columns = scales.padded_columns,
          .dtype = static_cast<int>(scales.dtype),
          .is_column_major = int{scales.orientation == ScaleOrientation::column_major},
          .swizzle = static_cast<int>(scales.swizzle),
          .part_rows = static_cast<int>(scales.part_rows)};
}

// row_bytes: of the data.
inline LayoutWords words_of(const QuantizedLayout& layout, Count row_bytes) {
  return {.scales = words_of(layout.scales),
          .rows = layout.rows,
          .columns = layout.columns,
          .parts = layout.parts,
          .row_bytes = row_bytes,
          .format = static_cast<int>(layout.format),
          .is_packed = int{number_format_row(layout.format).values_per_byte == 2}};
}

inline RecipeWords words_of(const RecipeCall& call) {
  return {.scale_rule = static_cast<int>(call.row.scale_rule),
          .code_rule = static_cast<int>(call.row.code_rule),
          .nan_rule = static_cast<int>(call.row.nan_rule),
          .format = static_cast<int>(call.format),
          .scale_dtype = static_cast<int>(call.scale_dtype),
          .has_scale_ub = int{call.scale_ub.has_value()},
          .limit = call.limit,
          .amax_floor = call.row.amax_floor,
          .scale_floor_of = call.row.scale_floor_of,
          .scale_ub = call.scale_ub.value_or(0)};
}

}  // namespace moe::xpu
