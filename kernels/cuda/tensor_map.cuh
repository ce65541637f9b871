// Maps by which the copy engine finds boxes of a matrix in device memory. grouped_product_cuda.cu
// makes them for each call.

#pragma once

#include <cuda.h>

#include "kernels/base/tensor.h"

namespace moe::cuda {

inline constexpr int columns_a_box = 64;  // of 16 bits: rows of 128 bytes, swizzled

// [matrices * rows, columns] elements of bf16 or f16 in boxes of box_rows. REQUIRES columns that
// are a multiple of 8 and data on 16 bytes.
CUtensorMap map_of(const Tensor& tensor, Count matrices, int box_rows);

}  // namespace moe::cuda
