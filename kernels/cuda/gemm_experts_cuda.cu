// Experts with products on a GPU: a product of cuBLAS for each expert, then bias and activation of
// all rows at once. Counts are known to the host, which waits for them. A product that takes a bias
// stays in fp32 until it is added, so that there is one rounding (kernels.h).

#include <vector>

#include "kernels/base/text.h"
#include "kernels/cuda/activated.cuh"
#include "kernels/cuda/cublas_handle.cuh"
#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_moves.cuh"

namespace moe::cuda {
namespace {

void check_cublas(cublasStatus_t status, const std::string& what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw SystemError(text("cuBLAS: ", what, ": ", cublasGetStatusString(status)));
  }
}

cudaDataType_t type_of(DType dtype) {
  if (dtype == DType::bf16) return CUDA_R_16BF;
  return dtype == DType::f16 ? CUDA_R_16F : CUDA_R_32F;
}

// Where a row finds its expert's bias.
struct RowBias {
  const std::int32_t* first_row;
  int num_experts;
  const void* values;  // [num_experts, columns] of the rows' type; null: none
  Count columns;

  template <typename T>
  __device__ float at(Count row, Count column) const {
    if (values == nullptr) return 0;
    const Count expert = expert_of_row(first_row, num_experts, row);
    return to_float(static_cast<const T*>(values)[expert * columns + column]);
  }
};

// inner [rows, intermediate * w13_rows_each] f32 → out [rows, intermediate].
template <typename T>
void activate(CudaMemory& memory, Activation activation, const Tensor& inner, RowBias bias,
              const Tensor& out) {
  const auto* sums = device_elements<float>(inner);
  T* to = device_elements<T>(out);
  const Count count = out.columns;
  const Count wide = inner.columns;
  for_each(memory.queue(), out.rows * count, [=] __device__(Count i) {
    const Count row = i / count;
    const auto element = [&](Count column) {
      return rounded_as<T>(sums[row * wide + column] + bias.at<T>(row, column));
    };
    round_to(activated<T>(activation, i % count, count, element), to[i]);
  });
}

template <typename T>
void add_bias(CudaMemory& memory, const Tensor& sums, RowBias bias, const Tensor& out) {
  const auto* from = device_elements<float>(sums);
  T* to = device_elements<T>(out);
  const Count columns = out.columns;
  for_each(memory.queue(), out.rows * columns, [=] __device__(Count i) {
    round_to(from[i] + bias.at<T>(i / columns, i % columns), to[i]);
  });
}

class CudaGemmExperts final : public GemmExperts {
 public:
  CudaGemmExperts(CudaMemory& memory, CublasHandle& products, GemmWeights weights,
                  Count num_local_experts)
      : memory_(memory),
        products_(products),
        weights_(std::move(weights)),
        num_local_experts_(num_local_experts) {}

  Buffer apply(const Tensor& rows, const Tensor& first_row) override {
    Buffer out(memory_, {rows.rows, rows.columns, rows.dtype});
    if (rows.rows == 0) return out;
    const std::vector<std::int32_t> first = on_host(first_row);
    const Count intermediate = weights_.w2.tensor().columns;
    const Buffer inner(memory_,
                       {rows.rows, intermediate * w13_rows_each(weights_.activation), DType::f32});
    const Buffer activated(memory_, {rows.rows, intermediate, rows.dtype});
    multiply_each(rows, weights_.w13.tensor(), first, inner.tensor());
    for_row_type(rows.dtype, [&](auto element) {
      activate<decltype(element)>(memory_, weights_.activation, inner.tensor(),
                                  bias_of(weights_.w13_bias.tensor(), first_row),
                                  activated.tensor());
    });
    if (weights_.w2_bias.tensor().data == nullptr) {
      multiply_each(activated.tensor(), weights_.w2.tensor(), first, out.tensor());
      return out;
    }
    const Buffer sums(memory_, {rows.rows, rows.columns, DType::f32});
    multiply_each(activated.tensor(), weights_.w2.tensor(), first, sums.tensor());
    for_row_type(rows.dtype, [&](auto element) {
      add_bias<decltype(element)>(memory_, sums.tensor(),
                                  bias_of(weights_.w2_bias.tensor(), first_row), out.tensor());
    });
    return out;
  }

 private:
  std::vector<std::int32_t> on_host(const Tensor& first_row) {
    std::vector<std::int32_t> first(static_cast<std::size_t>(first_row.rows));
    memory_.copy_to_host(first_row, {first.data(), first_row.rows, 1, DType::i32, {}});
    return first;
  }

  RowBias bias_of(const Tensor& bias, const Tensor& first_row) const {
    return {device_elements<std::int32_t>(first_row), static_cast<int>(num_local_experts_),
            bias.data, bias.columns};
  }

  // Every expert's rows through its part of the weights.
  void multiply_each(const Tensor& rows, const Tensor& weights,
                     const std::vector<std::int32_t>& first, const Tensor& out) {
    const Count each = weights.rows / num_local_experts_;
    for (Count expert = 0; expert < num_local_experts_; ++expert) {
      const Count begin = first[static_cast<std::size_t>(expert)];
      const Count count = first[static_cast<std::size_t>(expert) + 1] - begin;
      if (count == 0) continue;
      products_.multiply(rows_of(rows, begin, count), rows_of(weights, expert * each, each),
                         rows_of(out, begin, count));
    }
  }

  CudaMemory& memory_;
  CublasHandle& products_;
  GemmWeights weights_;
  Count num_local_experts_;
};

}  // namespace

cublasHandle_t CublasHandle::handle() {
  if (handle_ != nullptr) return handle_;
  check_cublas(cublasCreate(&handle_), "a handle");
  check_cublas(cublasSetStream(handle_, memory_.queue()), "a handle's stream");
  check_cublas(cublasSetMathMode(handle_, static_cast<cublasMath_t>(
                                              CUBLAS_DEFAULT_MATH |
                                              CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)),
               "a handle's precision");
  return handle_;
}

void CublasHandle::multiply(const Tensor& rows, const Tensor& weights, const Tensor& out) {
  if (bytes_of(out) == 0) return;
  if (rows.columns == 0) return memory_.fill(out, 0);
  const float one = 1.0F;
  const float zero = 0.0F;
  const auto m = static_cast<int>(out.rows);
  const auto n = static_cast<int>(out.columns);
  const auto k = static_cast<int>(rows.columns);
  const cudaDataType_t type = type_of(rows.dtype);
  // TF32 would round what is fp32.
  const cublasComputeType_t compute =
      rows.dtype == DType::f32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F;
  check_cublas(cublasGemmEx(handle(), CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, weights.data, type,
                            k, rows.data, type, k, &zero, out.data, type_of(out.dtype), n, compute,
                            CUBLAS_GEMM_DEFAULT),
               text(shape_text(rows), " times ", shape_text(weights), " transposed"));
}

std::unique_ptr<GemmExperts> make_gemm_experts(CudaMemory& memory, CublasHandle& products,
                                               GemmWeights weights, Count num_local_experts) {
  return std::make_unique<CudaGemmExperts>(memory, products, std::move(weights), num_local_experts);
}

}  // namespace moe::cuda
