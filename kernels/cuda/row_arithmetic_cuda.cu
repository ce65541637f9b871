// Row arithmetic on a GPU: signs, weights, factors, sums and weighted sums of rows, each rounded
// once to the rows' type, in the order that kernels.h says. The files are compiled without fused
// multiply-adds; where one is meant it is written.

#include "kernels/base/bits.h"
#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_moves.cuh"

namespace moe::cuda {
namespace {

template <typename T>
void apply_signs(CudaMemory& memory, const Tensor& rows, const Tensor& first_row,
                 const Tensor& signs) {
  T* values = device_elements<T>(rows);
  const auto* first = device_elements<std::int32_t>(first_row);
  const auto* sign = device_elements<std::int8_t>(signs);
  const auto num_experts = static_cast<int>(signs.rows);
  const Count columns = rows.columns;
  for_each(memory.queue(), rows.rows * columns, [=] __device__(Count i) {
    const int expert = expert_of_row(first, num_experts, i / columns);
    if (expert >= num_experts) return;
    const auto factor = static_cast<float>(sign[expert * columns + i % columns]);
    round_to(to_float(values[i]) * factor, values[i]);
  });
}

template <typename T>
void weigh(CudaMemory& memory, const Tensor& rows, const Tensor& weights, const Tensor& out) {
  const T* from = device_elements<T>(rows);
  T* to = device_elements<T>(out);
  const auto* weight_of = device_elements<float>(weights);
  const Count columns = rows.columns;
  for_each(memory.queue(), rows.rows * columns, [=] __device__(Count i) {
    T weight{};
    round_to(weight_of[i / columns], weight);
    round_to(to_float(from[i]) * to_float(weight), to[i]);
  });
}

template <typename T>
void scale(CudaMemory& memory, const Tensor& rows, float factor) {
  T* values = device_elements<T>(rows);
  for_each(memory.queue(), rows.rows * rows.columns,
           [=] __device__(Count i) { round_to(to_float(values[i]) * factor, values[i]); });
}

template <typename T>
void add(CudaMemory& memory, const Tensor& rows, const Tensor& to) {
  const T* from = device_elements<T>(rows);
  T* sums = device_elements<T>(to);
  for_each(memory.queue(), rows.rows * rows.columns,
           [=] __device__(Count i) { round_to(to_float(sums[i]) + to_float(from[i]), sums[i]); });
}

template <typename T, WeightedSum how>
void reduce(CudaMemory& memory, const WeightedRows& weighted, const Tensor& out) {
  const T* rows = device_elements<T>(weighted.rows);
  const auto* row_of = device_elements<std::int32_t>(weighted.row_of);
  const auto* weights = device_elements<float>(weighted.topk_weights);
  T* to = device_elements<T>(out);
  const Count columns = out.columns;
  const Count top_k = weighted.row_of.columns;
  for_each(memory.queue(), out.rows * columns, [=] __device__(Count i) {
    const Count token = i / columns;
    const Count column = i % columns;
    float sum = 0;
    for (Count k = token * top_k; k < (token + 1) * top_k; ++k) {
      if (row_of[k] < 0) continue;
      const float value = to_float(rows[row_of[k] * columns + column]);
      sum =
          how == WeightedSum::whole ? __fmaf_rn(value, weights[k], sum) : sum + weights[k] * value;
    }
    round_to(sum, to[i]);
  });
}

}  // namespace

void probe_experts(CudaMemory& memory, const Tensor& rows, const Tensor& first_row,
                   const Tensor& signs) {
  for_row_type(rows.dtype, [&](auto element) {
    apply_signs<decltype(element)>(memory, rows, first_row, signs);
  });
}

void weight_rows(CudaMemory& memory, const Tensor& rows, const Tensor& weights, const Tensor& out) {
  for_row_type(rows.dtype,
               [&](auto element) { weigh<decltype(element)>(memory, rows, weights, out); });
}

void scale_rows(CudaMemory& memory, const Tensor& rows, float factor) {
  for_row_type(rows.dtype, [&](auto element) { scale<decltype(element)>(memory, rows, factor); });
}

void add_rows(CudaMemory& memory, const Tensor& rows, const Tensor& to) {
  for_row_type(rows.dtype, [&](auto element) { add<decltype(element)>(memory, rows, to); });
}

void weight_and_reduce(CudaMemory& memory, WeightedSum how, const WeightedRows& weighted,
                       const Tensor& out) {
  for_row_type(out.dtype, [&](auto element) {
    using T = decltype(element);
    if (how == WeightedSum::whole) return reduce<T, WeightedSum::whole>(memory, weighted, out);
    reduce<T, WeightedSum::separate>(memory, weighted, out);
  });
}

}  // namespace moe::cuda
