// Quantising on the host: for each scale the extremes of its values, then their codes. What is
// computed is recipe_arithmetic.h's; here are only places. The loops are written to be read.

#include <cstring>

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"
#include "kernels/recipe_arithmetic.h"

namespace moe::cpu {
namespace {

// The values that share one scale.
struct Block {
  Count first_row = 0;
  Count end_row = 0;
  Count first_column = 0;
  Count end_column = 0;
};

Block block_of(const QuantizedLayout& layout, Count scale_row, Count scale_column) {
  const ScaleLayout& scales = layout.scales;
  const Count part_rows = layout.rows / layout.parts;
  const Count groups = groups_of(part_rows, scales.group_rows);
  const Count part_begin = scale_row / groups * part_rows;
  const Count row = part_begin + scale_row % groups * scales.group_rows;
  const Count column = scale_column * scales.group_columns;
  const Count rows = scales.group_rows == 0 ? part_rows : scales.group_rows;
  const Count columns = scales.group_columns == 0 ? layout.columns : scales.group_columns;
  return {row, std::min(row + rows, part_begin + part_rows), column,
          std::min(column + columns, layout.columns)};
}

template <typename T>
class Quantiser {
 public:
  Quantiser(const Tensor& rows, const RecipeCall& call, const QuantizedRows& out)
      : rows_(rows), call_(call), out_(out) {}

  GroupScale scale_of(const Block& block, float given) const {
    Extremes extremes;
    for (Count row = block.first_row; row < block.end_row; ++row) {
      for (Count column = block.first_column; column < block.end_column; ++column) {
        extremes.add(value_at(row, column));
      }
    }
    return group_scale(call_, extremes, given);
  }

  void write_codes(const Block& block, const GroupScale& scale) const {
    const bool is_packed = number_format_row(call_.format).values_per_byte == 2;
    for (Count row = block.first_row; row < block.end_row; ++row) {
      auto* to = reinterpret_cast<std::uint8_t*>(row_at(out_.data, row));
      for (Count column = block.first_column; column < block.end_column; ++column) {
        const std::uint8_t code = code_of(call_, value_at(row, column), scale);
        if (!is_packed) {
          to[column] = code;
        } else if (column % 2 == 0) {
          to[column / 2] = packed_nibbles(code, nibble_of(to[column / 2], 1));
        } else {
          to[column / 2] = packed_nibbles(nibble_of(to[column / 2], 0), code);
        }
      }
    }
  }

 private:
  float value_at(Count row, Count column) const {
    return to_float(static_cast<const T*>(rows_.data)[row * rows_.columns + column]);
  }

  const Tensor& rows_;
  const RecipeCall& call_;
  const QuantizedRows& out_;
};

void write_scale(const QuantizedRows& out, Count at, const GroupScale& scale) {
  const DType dtype = out.scales.dtype;
  std::byte* to = static_cast<std::byte*>(out.scales.data) + at * size_of(dtype);
  if (size_of(dtype) == 1) {
    *to = std::byte{scale.byte};
  } else {
    for_row_type(dtype, [&](auto element) {
      round_to(scale.value, element);
      std::memcpy(to, &element, sizeof element);
    });
  }
  if (out.layout.has_zero_points) {
    static_cast<std::uint8_t*>(out.zero_points.data)[at] = scale.zero_point;
  }
}

void clear(const Tensor& tensor) {
  if (bytes_of(tensor) > 0) std::memset(tensor.data, 0, static_cast<std::size_t>(bytes_of(tensor)));
}

template <typename T>
void quantize_rows(const Tensor& rows, const RecipeCall& call, const QuantSettings& settings,
                   const QuantizedRows& out) {
  const Quantiser<T> quantiser(rows, call, out);
  const ScaleLayout& scales = out.layout.scales;
  const Count scale_rows_per_part = scales.rows / out.layout.parts;
  for (Count row = 0; row < scales.rows; ++row) {
    float given = 0;
    if (settings.scale.data != nullptr) {
      const auto part = static_cast<std::size_t>(row / scale_rows_per_part);
      given = elements_of<float>(settings.scale)[part];
    }
    for (Count column = 0; column < scales.columns; ++column) {
      const Block block = block_of(out.layout, row, column);
      const GroupScale scale = quantiser.scale_of(block, given);
      write_scale(out, scale_offset(scales, row, column), scale);
      quantiser.write_codes(block, scale);
    }
  }
}

}  // namespace

void quantize(const Tensor& rows, QuantRecipe recipe, const QuantSettings& settings,
              const QuantizedRows& out) {
  clear(out.data);  // an odd last column leaves half a byte
  clear(out.scales);
  clear(out.zero_points);
  if (out.layout.has_global_scale) {
    std::memcpy(out.global_scale.data, settings.scale.data,
                static_cast<std::size_t>(bytes_of(settings.scale)));
  }
  const RecipeCall call = recipe_call(recipe, out.layout, settings.scale_ub);
  for_row_type(rows.dtype,
               [&](auto element) { quantize_rows<decltype(element)>(rows, call, settings, out); });
}

}  // namespace moe::cpu
