// Quantising on an OpenCL device: scales, then codes; and back to numbers, and scales from one
// layout to another. The arithmetic is quantize.cl's.

#include "kernels/xpu/layout_words.h"
#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {

void quantize(XpuMemory& memory, const Tensor& rows, const RecipeCall& call, const Tensor& scale,
              const QuantizedRows& out) {
  memory.fill(out.scales, 0);
  memory.fill(out.zero_points, 0);
  if (out.layout.has_global_scale) memory.copy(scale, out.global_scale);
  const Count count = out.layout.scales.rows * out.layout.scales.columns;
  const Scratch work(memory, {count, group_scale_bytes, DType::u8});
  const RecipeWords recipe = words_of(call);
  const LayoutWords layout = words_of(out.layout, row_bytes(out.data));
  const int dtype = static_cast<int>(rows.dtype);
  memory.run({"moe_make_scales", count}, rows, dtype, recipe, layout, scale, out.scales,
             out.zero_points, work.tensor());
  memory.run({"moe_make_codes", bytes_of(out.data)}, rows, dtype, recipe, layout, work.tensor(),
             out.data);
}

void dequantize(XpuMemory& memory, const QuantizedRows& rows, const Tensor& out) {
  memory.run({"moe_dequantize", out.rows * out.columns}, rows.data, rows.scales, rows.zero_points,
             rows.global_scale, words_of(rows.layout, row_bytes(rows.data)), out,
             static_cast<int>(out.dtype));
}

void relayout_scales(XpuMemory& memory, const QuantizedRows& rows, const ScaleLayout& to,
                     const Tensor& out) {
  const ScaleLayout& before = rows.layout.scales;
  memory.fill(out, 0);
  memory.run({"moe_relayout_scales", before.rows * before.columns}, rows.scales, words_of(before),
             out, words_of(to), static_cast<int>(size_of(to.dtype)));
}

}  // namespace moe::xpu
