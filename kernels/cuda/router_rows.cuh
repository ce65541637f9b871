// One token's row of logits, one warp: reading, softmax, rounding, and the best of a row. The
// routing operators of this folder share them. Sums go from the left, as the host's do; exp is
// computed in double and rounded, which differs from the host's library in the last bit of a float
// at most, and in hardly any.

#pragma once

#include <algorithm>
#include <type_traits>

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

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp; }

__device__ inline float exp_of(float x) { return static_cast<float>(exp(static_cast<double>(x))); }

__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + exp_of(-x)); }

__device__ inline float rounded_to(float value, DType dtype) {
  if (dtype == DType::bf16) return to_float(to_bfloat16(value));
  return dtype == DType::f16 ? to_float(to_float16(value)) : value;
}

// From the left, on every lane. values in memory that the warp has written; of many, four are read
// at once, and ahead of the additions, where they lie so.
__device__ inline float sum_of(const float* values, int count) {
  float sum = 0;
  if (lane() == 0) {
    int i = 0;
    if (reinterpret_cast<std::uintptr_t>(values) % sizeof(float4) == 0) {
#pragma unroll 8
      for (; i + 4 <= count; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(values + i);
        sum = sum + four.x + four.y + four.z + four.w;
      }
    }
    for (; i < count; ++i) sum += values[i];
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

struct Best {
  int at;
  unsigned key;
};

// A row's keys, given away the best first; 0: no number is there. A lane holds every warp-th of
// them, so many at most.
template <int held>
class BestFirst {
 public:
  // REQUIRES that each lane sees its own keys, and that there are no more than are held.
  __device__ BestFirst(const unsigned* keys, int count) : count_(count) {
#pragma unroll
    for (int i = 0; i < held; ++i) keys_[i] = place(i) < count ? keys[place(i)] : 0;
  }

  // The first of the best, on every lane. REQUIRES that one is there; then it is no more.
  __device__ Best take() {
    Best own{count_, 0};
#pragma unroll
    for (int i = 0; i < held; ++i) {
      if (keys_[i] > own.key) own = {place(i), keys_[i]};
    }
    const unsigned most = __reduce_max_sync(whole_warp, own.key);
    const int at = __reduce_min_sync(whole_warp, own.key == most ? own.at : count_);
#pragma unroll
    for (int i = 0; i < held; ++i) {
      if (place(i) == at) keys_[i] = 0;
    }
    return {at, most};
  }

 private:
  __device__ static int place(int index) { return lane() + index * warp; }

  unsigned keys_[held];
  int count_;
};

// Rows that are too long to be held: a lane looks again in memory where its best was taken.
template <>
class BestFirst<0> {
 public:
  __device__ BestFirst(unsigned* keys, int count) : keys_(keys), count_(count) { look(); }

  __device__ Best take() {
    const unsigned most = __reduce_max_sync(whole_warp, own_.key);
    const int at = __reduce_min_sync(whole_warp, own_.key == most ? own_.at : count_);
    if (own_.at == at) {
      keys_[at] = 0;
      look();
    }
    return {at, most};
  }

 private:
  __device__ void look() {
    own_ = {count_, 0};
    for (int i = lane(); i < count_; i += warp) {
      if (keys_[i] > own_.key) own_ = {i, keys_[i]};
    }
  }

  unsigned* keys_;
  int count_;
  Best own_;
};

// function(std::integral_constant of what a lane holds of so many keys).
template <typename Function>
void with_held(Count count, Function function) {
  if (count <= warp) return function(std::integral_constant<int, 1>());
  if (count <= 2 * warp) return function(std::integral_constant<int, 2>());
  if (count <= 4 * warp) return function(std::integral_constant<int, 4>());
  if (count <= 8 * warp) return function(std::integral_constant<int, 8>());
  function(std::integral_constant<int, 0>());
}

// What a row chose, in memory until all of it is known.
struct Slots {
  std::int32_t* ids;
  float* weights;

  static constexpr Count bytes(Count top_k) { return top_k * 8; }
  __device__ Slots(void* memory, int top_k)
      : ids(static_cast<std::int32_t*>(memory)), weights(static_cast<float*>(memory) + top_k) {}
};

// Where choices go.
struct Choices {
  int top_k;
  std::int32_t* ids;
  float* weights;

  explicit Choices(const Routing& chosen)
      : top_k(static_cast<int>(chosen.topk_ids.columns)),
        ids(device_elements<std::int32_t>(chosen.topk_ids)),
        weights(device_elements<float>(chosen.topk_weights)) {}

  // By one warp, which sees the slots.
  __device__ void write(Count row, const Slots& slots) const {
    for (int k = lane(); k < top_k; k += warp) {
      ids[row * top_k + k] = slots.ids[k];
      weights[row * top_k + k] = slots.weights[k];
    }
  }
};

// How a call's rows are shared out: so many threads each, a warp or a block, and memory.
struct RowGrid {
  Count rows = 0;
  Count bytes = 0;
  int threads = warp;

  __device__ Count row() const {
    return Count{blockIdx.x} * (blockDim.x / threads) + threadIdx.x / threads;
  }
  __device__ int thread() const { return static_cast<int>(threadIdx.x) % threads; }
  __device__ void* memory_of(void* shared) const {
    return static_cast<std::byte*>(shared) + threadIdx.x / threads * bytes;
  }
  __device__ void synchronize() const { threads == warp ? __syncwarp() : __syncthreads(); }
};

// What a block may have without asking; beyond, all that the device can give is asked for, so that
// threads that launch the same kernel with other rows never ask for less.
inline constexpr Count bytes_without_asking = 48 * 1024;

// Blocks of several rows where these are a warp's each and memory allows; the kernel's first
// parameter is the grid.
template <typename... Parameters, typename... Arguments>
void launch_rows(CudaMemory& memory, RowGrid grid, void (*kernel)(RowGrid, Parameters...),
                 Arguments... arguments) {
  grid.bytes = (grid.bytes + 15) / 16 * 16;
  const Count fitting = std::max<Count>(1, bytes_without_asking / std::max<Count>(1, grid.bytes));
  const Count each = std::min<Count>(threads_a_block / grid.threads, fitting);
  if (grid.bytes > bytes_without_asking) {
    int most = 0;
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                 memory.stream().device.ordinal),
          "a block's memory");
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
          "room for a row of scores");
  }
  launch(memory.queue(),
         {(grid.rows + each - 1) / each, static_cast<int>(each) * grid.threads,
          static_cast<std::size_t>(each * grid.bytes)},
         kernel, grid, arguments...);
}

}  // namespace moe::cuda
