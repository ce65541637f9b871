// Layouts as text, and the refusal of one that is not the expected one.
// Called where quantised rows are made, handed over and taken.

#include "kernels/base/quantized_rows.h"

#include <array>

#include "kernels/base/text.h"

namespace moe {
namespace {

std::string_view name_of(ScaleSwizzle swizzle) {
  constexpr std::array<std::string_view, 3> names = {"", ", tiles of 128 x 4", ", packed by 4"};
  return names[static_cast<std::size_t>(swizzle)];
}

std::string extent_text(Count group) { return group == 0 ? "all" : text(group); }

std::string scales_text(const ScaleLayout& layout) {
  std::string out =
      text(moe::name_of(layout.dtype), " scales [", layout.rows, ", ", layout.columns, "] for ",
           extent_text(layout.group_rows), " x ", extent_text(layout.group_columns), ", ",
           layout.orientation == ScaleOrientation::row_major ? "row-major" : "column-major",
           name_of(layout.swizzle));
  if (layout.part_rows != 0) out += text(" in parts of ", layout.part_rows, " rows");
  if (layout.padded_rows != layout.rows || layout.padded_columns != layout.columns) {
    out += text(", padded to [", layout.padded_rows, ", ", layout.padded_columns, "]");
  }
  return out;
}

void require_tensor(const Tensor& tensor, const Shape& shape, std::string_view what) {
  MOE_CHECK(tensor.rows == shape.rows && tensor.columns == shape.columns &&
                tensor.dtype == shape.dtype &&
                (tensor.data != nullptr || shape.rows * shape.columns == 0),
            text("quantised rows whose ", what, " are ", shape_text(tensor), ", not [", shape.rows,
                 ", ", shape.columns, "] ", name_of(shape.dtype)));
}

void require_absent(const Tensor& tensor, std::string_view what) {
  MOE_CHECK(tensor.data == nullptr, text("quantised rows with ", what, " ", shape_text(tensor),
                                         " that their layout does not have"));
}

}  // namespace

QuantizedRowsBuffers empty_quantized_rows(Memory& memory, const QuantizedLayout& layout) {
  QuantizedRowsBuffers rows{.layout = layout};
  rows.data = Buffer(memory, data_shape(layout));
  rows.scales = Buffer(memory, scales_shape(layout.scales));
  if (layout.has_global_scale) rows.global_scale = Buffer(memory, {layout.parts, 1, DType::f32});
  if (layout.has_zero_points) {
    const Shape scales = scales_shape(layout.scales);
    rows.zero_points = Buffer(memory, {scales.rows, scales.columns, DType::u8});
  }
  return rows;
}

std::string layout_text(const QuantizedLayout& layout) {
  std::string out = text("[", layout.rows, ", ", layout.columns, "] ",
                         number_format_row(layout.format).name, ", ", scales_text(layout.scales));
  if (layout.parts != 1) out += text(", ", layout.parts, " parts");
  if (layout.has_global_scale) out += ", a global scale";
  if (layout.has_zero_points) out += ", zero points";
  return out;
}

void require_consistent(const QuantizedRows& rows) {
  const QuantizedLayout& layout = rows.layout;
  MOE_CHECK(layout.format != NumberFormat::as_it_is && layout.parts > 0 &&
                layout.rows % layout.parts == 0,
            "no layout of quantised rows: " + layout_text(layout));
  require_tensor(rows.data, data_shape(layout), "data");
  const Shape scales = scales_shape(layout.scales);
  require_tensor(rows.scales, scales, "scales");
  if (layout.has_global_scale) {
    require_tensor(rows.global_scale, {layout.parts, 1, DType::f32}, "global scales");
  } else {
    require_absent(rows.global_scale, "a global scale");
  }
  if (layout.has_zero_points) {
    require_tensor(rows.zero_points, {scales.rows, scales.columns, DType::u8}, "zero points");
  } else {
    require_absent(rows.zero_points, "zero points");
  }
}

void require_layout(const QuantizedRows& rows, const QuantizedLayout& expected) {
  MOE_CHECK(rows.layout == expected, text("quantised rows come as ", layout_text(rows.layout),
                                          "; expected ", layout_text(expected)));
  require_consistent(rows);
}

}  // namespace moe
