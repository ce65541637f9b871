// weight_and_reduce on the host: fp32, choices in k order, product and sum rounded apart, one
// rounding. vLLM: moe_unpermute and TopKWeightAndReduce; numerics.md, 3.

#include <algorithm>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

template <typename T>
void add_weighted(const T* row, float weight, std::vector<float>& sum) {
  for (std::size_t h = 0; h < sum.size(); ++h) sum[h] += weight * to_float(row[h]);
}

template <typename T>
void reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
            const Tensor& out) {
  const auto places = elements_of<std::int32_t>(row_of);
  const auto weights = elements_of<float>(topk_weights);
  std::vector<float> sum(static_cast<std::size_t>(out.columns));
  for (Count token = 0; token < out.rows; ++token) {
    std::ranges::fill(sum, 0.0F);
    for (Count k = 0; k < row_of.columns; ++k) {
      const auto at = static_cast<std::size_t>(token * row_of.columns + k);
      if (places[at] < 0) continue;
      add_weighted(static_cast<const T*>(rows.data) + places[at] * rows.columns, weights[at], sum);
    }
    T* to = static_cast<T*>(out.data) + token * out.columns;
    for (std::size_t h = 0; h < sum.size(); ++h) round_to(sum[h], to[h]);
  }
}

}  // namespace

void weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                       const Tensor& out) {
  for_row_type(out.dtype,
               [&](auto element) { reduce<decltype(element)>(rows, row_of, topk_weights, out); });
}

}  // namespace moe::cpu
