// Quantising on a GPU: in one go where a scale is of one row's values (quantized_groups_cuda.cu),
// else the extremes of the values that share a scale, a warp for each of its rows; then the scales,
// then the codes, a byte a thread. What is computed is recipe_arithmetic.h's, and extremes are the
// same in any order: bytes are the host's.

#include "kernels/base/bits.h"
#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/quantized_groups.cuh"
#include "kernels/recipe_arithmetic.h"

namespace moe::cuda {
namespace {

// Extremes as the bits of their magnitudes, which are ordered as those are. 0 at the start.
struct ExtremeBits {
  std::uint32_t amax;
  std::uint32_t smallest;
  std::uint32_t largest;

  __device__ Extremes numbers() const {
    return {std::bit_cast<float>(amax), 0.0F - std::bit_cast<float>(smallest),
            std::bit_cast<float>(largest)};
  }
};

// What the kernels of one call share: for each logical scale its extremes, then itself.
struct Workspace {
  ExtremeBits* extremes;
  GroupScale* scales;
};

__device__ void raise(std::uint32_t* most, float magnitude) {
  constexpr unsigned all_lanes = 0xFFFFFFFFU;
  const std::uint32_t bits = __reduce_max_sync(all_lanes, std::bit_cast<std::uint32_t>(magnitude));
  if (threadIdx.x % warp == 0 && bits != 0) atomicMax(most, bits);
}

template <typename T>
void find_extremes(CudaMemory& memory, const Tensor& rows, const QuantizedLayout& layout,
                   const Workspace& work) {
  const T* values = device_elements<T>(rows);
  const Count columns = rows.columns;
  const Count groups = layout.scales.columns;
  const Count group = layout.scales.group_columns == 0 ? columns : layout.scales.group_columns;
  static_assert(threads_a_block % warp == 0);
  for_each(memory.queue(), rows.rows * groups * warp, [=] __device__(Count i) {
    const Count row = i / warp / groups;
    const Count first = i / warp % groups * group;
    const Count end = std::min(first + group, columns);
    Extremes extremes;
    for (Count column = first + i % warp; column < end; column += warp) {
      extremes.add(to_float(values[row * columns + column]));
    }
    const ScalePlace place = scale_place(layout, row, first);
    ExtremeBits* shared = work.extremes + place.row * groups + place.column;
    raise(&shared->amax, extremes.amax);
    raise(&shared->smallest, magnitude_of(extremes.smallest));
    raise(&shared->largest, extremes.largest);
  });
}

void make_scales(CudaMemory& memory, const RecipeCall& call, const float* given,
                 const QuantizedRows& out, const Workspace& work) {
  const ScaleLayout scales = out.layout.scales;
  const Count rows_per_part = scales.rows / out.layout.parts;
  void* to = out.scales.data;
  auto* zero_points = static_cast<std::uint8_t*>(out.zero_points.data);
  for_each(memory.queue(), scales.rows * scales.columns, [=] __device__(Count i) {
    const Count row = i / scales.columns;
    const float own = given == nullptr ? 0 : given[row / rows_per_part];
    const GroupScale scale = group_scale(call, work.extremes[i].numbers(), own);
    const Count at = scale_offset(scales, row, i % scales.columns);
    store_scale(to, scales.dtype, at, scale);
    if (zero_points != nullptr) zero_points[at] = scale.zero_point;
    work.scales[i] = scale;
  });
}

template <typename T>
void make_codes(CudaMemory& memory, const Tensor& rows, const RecipeCall& call,
                const QuantizedRows& out, const Workspace& work) {
  const T* values = device_elements<T>(rows);
  auto* to = static_cast<std::uint8_t*>(out.data.data);
  const QuantizedLayout layout = out.layout;
  const bool is_packed = number_format_row(layout.format).values_per_byte == 2;
  const Count bytes = row_bytes(out.data);
  for_each(memory.queue(), rows.rows * bytes, [=] __device__(Count i) {
    const Count row = i / bytes;
    const auto code = [&](Count column) -> std::uint8_t {
      if (column >= layout.columns) return 0;  // an odd last column leaves half a byte
      const ScalePlace place = scale_place(layout, row, column);
      return code_of(call, to_float(values[row * layout.columns + column]),
                     work.scales[place.row * layout.scales.columns + place.column]);
    };
    const Count at = i % bytes;
    to[i] = is_packed ? packed_nibbles(code(2 * at), code(2 * at + 1)) : code(at);
  });
}

}  // namespace

void quantize(CudaMemory& memory, const Tensor& rows, const RecipeCall& call, const Tensor& scale,
              const QuantizedRows& out) {
  const ScaleLayout& layout = out.layout.scales;
  if (layout.padded_rows != layout.rows || layout.padded_columns != layout.columns) {
    memory.fill(out.scales, 0);
    memory.fill(out.zero_points, 0);
  }
  if (out.layout.has_global_scale) memory.copy(scale, out.global_scale);
  const auto* given = static_cast<const float*>(scale.data);
  if (has_row_groups(rows, out.layout)) return quantize_row_groups(memory, rows, call, given, out);
  const Count count = layout.rows * layout.columns;
  const Scratch<ExtremeBits> extremes(memory, count);
  const Scratch<GroupScale> scales(memory, count);
  const Workspace work{extremes.data(), scales.data()};
  if (count > 0) {
    const auto bytes = static_cast<std::size_t>(count) * sizeof(ExtremeBits);
    check(cudaMemsetAsync(work.extremes, 0, bytes, memory.queue()), "extremes of nothing");
  }
  for_row_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    find_extremes<T>(memory, rows, out.layout, work);
    make_scales(memory, call, given, out, work);
    make_codes<T>(memory, rows, call, out, work);
  });
}

}  // namespace moe::cuda
