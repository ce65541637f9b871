// How this folder launches kernels and what becomes of CUDA's errors. Kernels run in a rank's
// stream; nothing here waits. Included by every file of the folder.

#pragma once

#include <cuda_runtime.h>

#include "kernels/base/tensor.h"

namespace moe::cuda {

// Throws SystemError with what was asked for and CUDA's words.
void check(cudaError_t result, std::string_view what);

inline constexpr int threads_a_block = 256;
inline constexpr int warp = 32;

struct Grid {
  Count blocks = 0;
  int threads = threads_a_block;
  std::size_t shared_bytes = 0;
};

// Blocks that have a thread for each of count things.
inline Grid one_thread_each(Count count) {
  return {(count + threads_a_block - 1) / threads_a_block};
}

template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, Grid grid, void (*kernel)(Parameters...), Arguments... arguments) {
  if (grid.blocks == 0) return;
  constexpr Count blocks_max = 0x7FFFFFFF;
  MOE_CHECK(grid.blocks <= blocks_max, "too many blocks for one launch");
  kernel<<<static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.threads),
           grid.shared_bytes, stream>>>(arguments...);
  check(cudaGetLastError(), "a launch");
}

template <typename Function>
__global__ void call_for_each(Count count, Function function) {
  const Count i = static_cast<Count>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) function(i);
}

// function(i) for each i below count, in any order.
template <typename Function>
void for_each(cudaStream_t stream, Count count, Function function) {
  launch(stream, one_thread_each(count), call_for_each<Function>, count, function);
}

// The elements of a tensor on a device. REQUIRES its dtype to be T's.
template <typename T>
T* device_elements(const Tensor& tensor) {
  MOE_CHECK(tensor.dtype == dtype_for<T>() && tensor.device.kind == DeviceKind::cuda,
            "elements of " + shape_text(tensor) + " read as another type on cuda");
  return static_cast<T*>(tensor.data);
}

}  // namespace moe::cuda
