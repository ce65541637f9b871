// weight_and_reduce on the host: fp32, choices in k order, one rounding at the end; product and sum
// rounded apart, or in one. vLLM: moe_unpermute and TopKWeightAndReduce; numerics.md, 3.

#include <algorithm>
#include <vector>

#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/row_loops.h"

namespace moe::cpu {
namespace {

// add: one of the loops that add a weighted row.
template <typename Add>
void reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights, const Tensor& out,
            Add add) {
  const RowLoops& loops = row_loops();
  const auto places = elements_of<std::int32_t>(row_of);
  const auto weights = elements_of<float>(topk_weights);
  std::vector<float> sum(static_cast<std::size_t>(out.columns));
  for (Count token = 0; token < out.rows; ++token) {
    std::ranges::fill(sum, 0.0F);
    for (Count k = 0; k < row_of.columns; ++k) {
      const auto at = static_cast<std::size_t>(token * row_of.columns + k);
      if (places[at] < 0) continue;
      add(rows.dtype, row_at(rows, places[at]), weights[at], sum.data(), out.columns);
    }
    loops.round_row(out.dtype, sum.data(), row_at(out, token), out.columns);
  }
}

}  // namespace

void weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                       const Tensor& out) {
  reduce(rows, row_of, topk_weights, out, row_loops().add_weighted);
}

void fused_weight_and_reduce(const Tensor& rows, const Tensor& row_of, const Tensor& topk_weights,
                             const Tensor& out) {
  reduce(rows, row_of, topk_weights, out, row_loops().add_weighted_whole);
}

}  // namespace moe::cpu
