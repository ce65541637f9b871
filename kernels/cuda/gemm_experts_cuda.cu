// Experts with products on a GPU: two grouped products, the activation in the first of them where
// the tensor cores multiply, behind it where they cannot. The host never learns how many rows an
// expert has and waits for nothing.

#include "kernels/cuda/activated.cuh"
#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/grouped_product.cuh"

namespace moe::cuda {
namespace {

// inner [rows, intermediate * w13_rows_each] → out [rows, intermediate], both of the rows' type.
template <typename T>
void activate(CudaMemory& memory, Activation activation, const Tensor& inner,
              const Tensor& first_row, const Tensor& out) {
  const T* from = device_elements<T>(inner);
  T* to = device_elements<T>(out);
  const std::int32_t* end = device_elements<std::int32_t>(first_row) + first_row.rows - 1;
  const Count count = out.columns;
  const Count wide = inner.columns;
  for_each(memory.queue(), out.rows * count, [=] __device__(Count i) {
    const Count row = i / count;
    if (row >= *end) return;
    const auto element = [&](Count column) { return to_float(from[row * wide + column]); };
    round_to(activated<T>(activation, i % count, count, element), to[i]);
  });
}

class CudaGemmExperts final : public GemmExperts {
 public:
  CudaGemmExperts(CudaMemory& memory, GemmWeights weights, Count num_local_experts)
      : memory_(memory), weights_(std::move(weights)), num_local_experts_(num_local_experts) {}

  Buffer apply(const Tensor& rows, const Tensor& first_row) override {
    Buffer out(memory_, {rows.rows, rows.columns, rows.dtype});
    if (rows.rows == 0 || num_local_experts_ == 0) return out;
    const Buffer activated(memory_, {rows.rows, weights_.w2.tensor().columns, rows.dtype});
    GroupedProduct first{rows,      weights_.w13.tensor(), weights_.w13_bias.tensor(),
                         first_row, activated.tensor(),    weights_.activation};
    const GroupedProduct second{activated.tensor(), weights_.w2.tensor(), weights_.w2_bias.tensor(),
                                first_row, out.tensor()};
    if (suits_tensor_cores(memory_, first) && suits_tensor_cores(memory_, second)) {
      multiply_on_tensor_cores(memory_, first);
      multiply_on_tensor_cores(memory_, second);
      return out;
    }
    const Count wide = activated.tensor().columns * w13_rows_each(weights_.activation);
    const Buffer inner(memory_, {rows.rows, wide, rows.dtype});
    first.out = inner.tensor();
    first.activation = {};
    multiply_plainly(memory_, first);
    for_row_type(rows.dtype, [&](auto element) {
      activate<decltype(element)>(memory_, weights_.activation, inner.tensor(), first_row,
                                  activated.tensor());
    });
    multiply_plainly(memory_, second);
    return out;
  }

 private:
  CudaMemory& memory_;
  GemmWeights weights_;
  Count num_local_experts_;
};

}  // namespace

std::unique_ptr<GemmExperts> make_gemm_experts(CudaMemory& memory, GemmWeights weights,
                                               Count num_local_experts) {
  return std::make_unique<CudaGemmExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::cuda
