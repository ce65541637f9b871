// Back from codes to numbers on a GPU, and scales from one layout to another, an element a thread.
// Quantising is quantize_cuda.cu.

#include "kernels/base/bits.h"
#include "kernels/cuda/code_reader.cuh"
#include "kernels/cuda/cuda_operators.cuh"

namespace moe::cuda {
namespace {

template <typename T>
void write_numbers(CudaMemory& memory, const CodeReader& codes, const Tensor& out) {
  T* to = device_elements<T>(out);
  const Count columns = out.columns;
  for_each(memory.queue(), out.rows * columns, [=] __device__(Count i) {
    const Count row = i / columns;
    const Count column = i % columns;
    const float scaled = codes.number(row, column) * codes.scale(row, column);
    round_to(codes.global_scales == nullptr ? scaled : scaled / codes.global_scale(row), to[i]);
  });
}

// Elements of one, two or four bytes.
template <typename Element>
void move_scales(CudaMemory& memory, const QuantizedRows& rows, const ScaleLayout& layout,
                 const Tensor& out) {
  const auto* from = static_cast<const Element*>(rows.scales.data);
  auto* to = static_cast<Element*>(out.data);
  const ScaleLayout before = rows.layout.scales;
  for_each(memory.queue(), before.rows * before.columns, [=] __device__(Count i) {
    const Count row = i / before.columns;
    const Count column = i % before.columns;
    to[scale_offset(layout, row, column)] = from[scale_offset(before, row, column)];
  });
}

}  // namespace

void dequantize(CudaMemory& memory, const QuantizedRows& rows, const Tensor& out) {
  for_row_type(out.dtype, [&](auto element) {
    write_numbers<decltype(element)>(memory, reader_of(rows), out);
  });
}

void relayout_scales(CudaMemory& memory, const QuantizedRows& rows, const ScaleLayout& to,
                     const Tensor& out) {
  memory.fill(out, 0);
  switch (size_of(to.dtype)) {
    case 1:
      return move_scales<std::uint8_t>(memory, rows, to, out);
    case 2:
      return move_scales<std::uint16_t>(memory, rows, to, out);
    default:
      move_scales<std::uint32_t>(memory, rows, to, out);
  }
}

}  // namespace moe::cuda
