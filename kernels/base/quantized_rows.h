// QuantizedRows: data, scales and the layout that says how they belong together. The layout travels
// with the rows: a consumer that expects another one is an error before a number differs. How
// scales and codes are made is a recipe's (quant_recipe.h).

#pragma once

#include <string>
#include <vector>

#include "kernels/base/buffer.h"
#include "kernels/base/number_formats.h"

namespace moe {

// Which values share a scale (vLLM: GroupShape). per_channel is per_token for weights: their rows
// are output channels.
enum class ScaleGranularity : std::uint8_t {
  none,
  per_tensor,
  per_token,
  per_channel,
  group,
  block
};

// column_major: scales of one group of columns lie next to each other, row by row; in each part of
// part_rows rows apart, where there are such parts.
enum class ScaleOrientation : std::uint8_t { row_major, column_major };

// tiles_128x4: nvfp4's and mxfp8's tiles of 512 bytes. packed_4: four e8m0 of a row in one 32-bit
// word, words column-major (DeepGEMM on SM100).
enum class ScaleSwizzle : std::uint8_t { none, tiles_128x4, packed_4 };

// rows and columns are the logical extents, the padded ones those in memory. group_rows and
// group_columns: how many of the data's share a scale, 0 for all of them; the last group may be
// short.
struct ScaleLayout {
  ScaleGranularity granularity = ScaleGranularity::none;
  Count group_rows = 0;
  Count group_columns = 0;
  DType dtype = DType::f32;
  ScaleOrientation orientation = ScaleOrientation::row_major;
  ScaleSwizzle swizzle = ScaleSwizzle::none;
  Count rows = 0;
  Count columns = 0;
  Count padded_rows = 0;
  Count padded_columns = 0;
  Count part_rows = 0;  // column_major: of the padded rows; 0: all of them

  bool operator==(const ScaleLayout&) const = default;
};

// The layout of rows x columns values in equal parts, one below the other, that share no scale and
// have a global scale each: the experts of a stack of weights.
struct QuantizedLayout {
  NumberFormat format = NumberFormat::as_it_is;
  Count rows = 0;
  Count columns = 0;
  Count parts = 1;
  ScaleLayout scales;
  bool has_global_scale = false;
  bool has_zero_points = false;

  bool operator==(const QuantizedLayout&) const = default;
};

// A view. LIFETIME: that of the buffers it looks at.
struct QuantizedRows {
  Tensor data;          // [rows, ceil(columns / values_per_byte)] of the format's dtype
  Tensor scales;        // as scales_shape says
  Tensor global_scale;  // [parts, 1] f32; null where the layout has none
  Tensor zero_points;   // u8 in the shape of the scales; null where the layout has none
  QuantizedLayout layout;
};

struct QuantizedRowsBuffers {
  Buffer data;
  Buffer scales;
  Buffer global_scale;
  Buffer zero_points;
  QuantizedLayout layout;

  QuantizedRows view() const {
    return {data.tensor(), scales.tensor(), global_scale.tensor(), zero_points.tensor(), layout};
  }
};

constexpr Count groups_of(Count extent, Count group) {
  return group == 0 ? 1 : (extent + group - 1) / group;
}

constexpr Count padded_to(Count extent, Count multiple) {
  return (extent + multiple - 1) / multiple * multiple;
}

// Where in memory, in elements from the first, the scale of logical place (row, column) is.
constexpr Count scale_offset(const ScaleLayout& layout, Count row, Count column) {
  switch (layout.swizzle) {
    case ScaleSwizzle::tiles_128x4:
      return (row / 128 * (layout.padded_columns / 4) + column / 4) * 512 + row % 32 * 16 +
             row / 32 % 4 * 4 + column % 4;
    case ScaleSwizzle::packed_4:
      return (column / 4 * layout.padded_rows + row) * 4 + column % 4;
    case ScaleSwizzle::none:
      break;
  }
  if (layout.orientation == ScaleOrientation::row_major) {
    return row * layout.padded_columns + column;
  }
  const Count stride = layout.part_rows == 0 ? layout.padded_rows : layout.part_rows;
  return row / stride * stride * layout.padded_columns + column * stride + row % stride;
}

// The scale of the value at (row, column): its logical place.
struct ScalePlace {
  Count row = 0;
  Count column = 0;
};

constexpr ScalePlace scale_place(const QuantizedLayout& layout, Count row, Count column) {
  const Count part_rows = layout.rows / layout.parts;
  const Count groups = groups_of(part_rows, layout.scales.group_rows);
  const Count part = row / part_rows;
  const Count within =
      layout.scales.group_rows == 0 ? 0 : row % part_rows / layout.scales.group_rows;
  return {part * groups + within,
          layout.scales.group_columns == 0 ? 0 : column / layout.scales.group_columns};
}

constexpr Shape data_shape(const QuantizedLayout& layout) {
  const NumberFormatRow& format = number_format_row(layout.format);
  return {layout.rows, (layout.columns + format.values_per_byte - 1) / format.values_per_byte,
          format.dtype};
}

// Column-major scales are [padded_columns, padded_rows], in parts [parts · padded_columns,
// part_rows]; others [padded_rows, padded_columns]. REQUIRES that parts divide the padded rows.
constexpr Shape scales_shape(const ScaleLayout& layout) {
  if (layout.orientation == ScaleOrientation::row_major) {
    return {layout.padded_rows, layout.padded_columns, layout.dtype};
  }
  if (layout.part_rows == 0) return {layout.padded_columns, layout.padded_rows, layout.dtype};
  return {layout.padded_rows / layout.part_rows * layout.padded_columns, layout.part_rows,
          layout.dtype};
}

// Whether row r of the scales is row r of the data's and nobody else's: such rows can be gathered,
// scattered and sent one by one with their scales.
constexpr bool has_scales_by_row(const QuantizedLayout& layout) {
  const ScaleLayout& scales = layout.scales;
  return scales.group_rows == 1 && scales.orientation == ScaleOrientation::row_major &&
         scales.swizzle == ScaleSwizzle::none && layout.parts == 1;
}

// Buffers of that layout, the scales' padding included; poisoned as any other.
QuantizedRowsBuffers empty_quantized_rows(Memory& memory, const QuantizedLayout& layout);

// "[5, 256] e4m3fn, f32 scales [5, 2] for 1 x 128, row-major", for messages.
std::string layout_text(const QuantizedLayout& layout);

// Throws ContractError unless the rows have exactly that layout, and tensors that fit it. The
// message names what differs.
void require_layout(const QuantizedRows& rows, const QuantizedLayout& expected);

// Throws ContractError unless the tensors are of the shapes and types that the layout says.
void require_consistent(const QuantizedRows& rows);

}  // namespace moe
