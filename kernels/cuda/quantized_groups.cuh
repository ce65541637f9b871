// Quantising where each scale is of columns of one row: extremes, scale and codes by the same
// threads, which read a row once from memory. quantize_cuda.cu chooses.

#pragma once

#include "kernels/cuda/cuda_memory.cuh"
#include "kernels/recipe_arithmetic.h"

namespace moe::cuda {

__device__ inline void store_scale(void* scales, DType dtype, Count at, const GroupScale& scale) {
  switch (dtype) {
    case DType::bf16:
      return round_to(scale.value, static_cast<BFloat16*>(scales)[at]);
    case DType::f16:
      return round_to(scale.value, static_cast<Float16*>(scales)[at]);
    case DType::f32:
      static_cast<float*>(scales)[at] = scale.value;
      return;
    default:
      static_cast<std::uint8_t*>(scales)[at] = scale.byte;
  }
}

// Whether groups are of one row and of whole pieces of eight values.
bool has_row_groups(const Tensor& rows, const QuantizedLayout& layout);

// given: [parts] scales or global scales, or null. REQUIRES has_row_groups; the scales' padding is
// the caller's.
void quantize_row_groups(CudaMemory& memory, const Tensor& rows, const RecipeCall& call,
                         const float* given, const QuantizedRows& out);

}  // namespace moe::cuda
