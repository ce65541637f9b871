// CublasHandle: a rank's handle of cuBLAS in its stream, made when products are first asked for.
// gemm_experts_cuda.cu multiplies with it; CudaKernels keeps it.

#pragma once

#include <cublas_v2.h>

#include "kernels/cuda/cuda_memory.cuh"

namespace moe::cuda {

class CublasHandle {
 public:
  explicit CublasHandle(CudaMemory& memory) : memory_(memory) {}
  ~CublasHandle() {
    if (handle_ != nullptr) cublasDestroy(handle_);
  }
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;

  // out [m, n] = rows [m, k] · weights [n, k] transposed: rows and weights of one row type, out of
  // theirs or f32; products are added in fp32 in an order of the library's, with one rounding.
  void multiply(const Tensor& rows, const Tensor& weights, const Tensor& out);

 private:
  cublasHandle_t handle();

  CudaMemory& memory_;
  cublasHandle_t handle_ = nullptr;
};

}  // namespace moe::cuda
