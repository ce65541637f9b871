// Products of grouped rows with the weights of their experts, counts on the device: the host knows
// neither how many rows an expert has nor how many there are. Nothing here waits, and all of it may
// be captured in a graph. gemm_experts_cuda.cu multiplies with it.

#pragma once

#include <optional>

#include "kernels/base/activation.h"
#include "kernels/cuda/cuda_memory.cuh"

namespace moe::cuda {

// out = rows · weights[expert] transposed + bias[expert], added in fp32 and rounded to the rows'
// type; then, if there is an activation, that of it. Rows from first_row's end on are neither read
// for others nor written.
struct GroupedProduct {
  Tensor rows;       // [rows, k]
  Tensor weights;    // [experts * n, k]
  Tensor bias;       // [experts, n] of the rows' type; null: none
  Tensor first_row;  // [experts + 1, 1] i32, as in RowPlan
  Tensor out;        // [rows, n], or [rows, n / w13_rows_each] after an activation
  std::optional<Activation> activation = {};
};

// Whether the tensor cores can: 16-bit rows, whole pieces of 16 bytes, not too many experts.
bool suits_tensor_cores(const CudaMemory& memory, const GroupedProduct& product);

// REQUIRES that it suits them.
void multiply_on_tensor_cores(CudaMemory& memory, const GroupedProduct& product);

// Any row type and any shape, in fp32 throughout; out without an activation.
void multiply_plainly(CudaMemory& memory, const GroupedProduct& product);

}  // namespace moe::cuda
