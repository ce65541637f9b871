// What row_sums_*.cc compile, each with its own instruction set: plain loops that a compiler turns
// into vectors. Everything has internal linkage, and nothing here may call a function that is not
// inlined: the linker would keep one copy for all sets. Contraction is off, so bytes do not differ.

#pragma once

#include <algorithm>

#include "kernels/base/bits.h"
#include "kernels/base/row_sums.h"

namespace moe {
namespace {

constexpr Count tile_columns = 1024;  // the accumulators of a tile stay in the L1 cache

template <typename T>
[[gnu::always_inline]] inline void add_tiles(std::span<const void* const> operands, void* out,
                                             Count count) {
  float sum[tile_columns];
  for (Count begin = 0; begin < count; begin += tile_columns) {
    const Count width = count - begin < tile_columns ? count - begin : tile_columns;
    const T* first = static_cast<const T*>(operands[0]) + begin;
    for (Count i = 0; i < width; ++i) sum[i] = to_float(first[i]);
    for (std::size_t k = 1; k < operands.size(); ++k) {
      const T* next = static_cast<const T*>(operands[k]) + begin;
      for (Count i = 0; i < width; ++i) sum[i] += to_float(next[i]);
    }
    T* to = static_cast<T*>(out) + begin;
    for (Count i = 0; i < width; ++i) round_to(sum[i], to[i]);
  }
}

void add_rows_in_order(DType dtype, std::span<const void* const> operands, void* out, Count count) {
  switch (dtype) {
    case DType::bf16:
      return add_tiles<BFloat16>(operands, out, count);
    case DType::f16:
      return add_tiles<Float16>(operands, out, count);
    default:
      return add_tiles<float>(operands, out, count);
  }
}

}  // namespace
}  // namespace moe
