// The driver's encoder of maps, asked for by name: nothing of ours links the driver. A map is made
// on the host and waits for nothing.

#include "kernels/base/text.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace moe::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                         cudaEnableDefault, &found),
        "the driver's maps of tensors");
  if (function == nullptr) throw SystemError("CUDA: the driver has no maps of tensors");
  return reinterpret_cast<Encode>(function);
}

}  // namespace

CUtensorMap map_of(const Tensor& tensor, Count matrices, int box_rows) {
  static const Encode encode = encoder();
  const Count rows = tensor.rows / matrices;
  const auto wide = [](Count count) { return static_cast<cuuint64_t>(count); };
  const cuuint64_t sizes[] = {wide(tensor.columns), wide(rows), wide(matrices)};
  const cuuint64_t strides[] = {wide(row_bytes(tensor)), wide(row_bytes(tensor) * rows)};
  const cuuint32_t box[] = {columns_a_box, static_cast<cuuint32_t>(box_rows), 1};
  const cuuint32_t steps[] = {1, 1, 1};
  CUtensorMap map{};
  const CUresult result =
      encode(&map,
             tensor.dtype == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                         : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
             3, tensor.data, sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw SystemError(text("CUDA: a map of ", shape_text(tensor), " as ", matrices,
                           " matrices: error ", static_cast<int>(result)));
  }
  return map;
}

}  // namespace moe::cuda
