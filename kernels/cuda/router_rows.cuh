// One token's row of logits, one warp: reading, softmax, rounding, and the best of a row. The
// routing operators of this folder share them. Sums go from the left, as the host's do; exp is
// computed in double and rounded, which differs from the host's library in the last bit of a float
// at most, and in hardly any.

#pragma once

#include "kernels/base/bits.h"
#include "kernels/cuda/cuda_memory.cuh"

namespace moe::cuda {

inline constexpr unsigned whole_warp = 0xFFFFFFFFU;

// Logits [rows, columns] of any row type.
struct Logits {
  const void* data;
  DType dtype;
  Count rows;
  int columns;

  explicit Logits(const Tensor& tensor)
      : data(tensor.data),
        dtype(tensor.dtype),
        rows(tensor.rows),
        columns(static_cast<int>(tensor.columns)) {}

  __device__ float at(Count row, int column) const {
    const Count i = row * columns + column;
    if (dtype == DType::bf16) return to_float(static_cast<const BFloat16*>(data)[i]);
    if (dtype == DType::f16) return to_float(static_cast<const Float16*>(data)[i]);
    return static_cast<const float*>(data)[i];
  }
};

__device__ inline int lane() { return static_cast<int>(threadIdx.x); }

__device__ inline float exp_of(float x) { return static_cast<float>(exp(static_cast<double>(x))); }

__device__ inline float tanh_of(float x) {
  return static_cast<float>(tanh(static_cast<double>(x)));
}

__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + exp_of(-x)); }

__device__ inline float rounded_to(float value, DType dtype) {
  if (dtype == DType::bf16) return to_float(to_bfloat16(value));
  return dtype == DType::f16 ? to_float(to_float16(value)) : value;
}

// From the left, on every lane. values in memory that the warp has written.
__device__ inline float sum_of(const float* values, int count) {
  float sum = 0;
  if (lane() == 0) {
#pragma unroll 8
    for (int i = 0; i < count; ++i) sum += values[i];  // reads ahead of the additions
  }
  return __shfl_sync(whole_warp, sum, 0);
}

// exp(score - largest) · (1 / sum), in place; a NaN or +Inf in the row makes all of it NaN.
__device__ inline void softmax(float* scores, int count) {
  float largest = -INFINITY;
  for (int i = lane(); i < count; i += warp) largest = fmaxf(largest, scores[i]);
  for (int distance = warp / 2; distance > 0; distance /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(whole_warp, largest, distance));
  }
  for (int i = lane(); i < count; i += warp) scores[i] = exp_of(scores[i] - largest);
  __syncwarp();
  const float factor = 1.0F / sum_of(scores, count);
  for (int i = lane(); i < count; i += warp) scores[i] *= factor;
  __syncwarp();
}

// Whether a goes before b: the larger, and as torch has it a NaN before everything.
__device__ inline bool nan_first_greater(float a, float b) {
  if (isnan(a) || isnan(b)) return isnan(a) && !isnan(b);
  return a > b;
}

// Numbers in the order in which they are chosen, as unsigned ones: a NaN before everything, the
// zeros alike. No number is 0.
__device__ inline unsigned key_of(float value) {
  if (isnan(value)) return 0xFFFFFFFFU;
  const unsigned bits = value == 0 ? 0U : __float_as_uint(value);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ inline float value_of_key(unsigned key) {
  if (key == 0xFFFFFFFFU) return NAN;
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7FFFFFFFU : ~key);
}

// The first of the best among those that are there (null: all), on every lane; count if none is.
__device__ inline int best_of(const float* values, const bool* there, int count) {
  unsigned best_key = 0;
  int best = count;
  for (int i = lane(); i < count; i += warp) {
    const unsigned key = there == nullptr || there[i] ? key_of(values[i]) : 0U;
    if (key > best_key) {
      best_key = key;
      best = i;
    }
  }
  const unsigned most = __reduce_max_sync(whole_warp, best_key);
  return __reduce_min_sync(whole_warp, best_key == most ? best : count);
}

// Rows of a call, and how much memory a warp wants for what it keeps of one.
struct RowGrid {
  Count rows = 0;
  Count bytes = 0;
  int threads = warp;  // of a row
};

// What a block may have without asking; beyond, all that the device can give is asked for, so that
// threads that launch the same kernel with other rows never ask for less.
inline constexpr Count bytes_without_asking = 48 * 1024;

// One block for each row.
template <typename... Parameters, typename... Arguments>
void launch_rows(CudaMemory& memory, RowGrid grid, void (*kernel)(Parameters...),
                 Arguments... arguments) {
  if (grid.bytes > bytes_without_asking) {
    int most = 0;
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                 memory.stream().device.ordinal),
          "a block's memory");
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
          "room for a row of scores");
  }
  launch(memory.queue(), {grid.rows, grid.threads, static_cast<std::size_t>(grid.bytes)}, kernel,
         arguments...);
}

}  // namespace moe::cuda
