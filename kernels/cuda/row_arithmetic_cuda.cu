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

// Elements that a thread sums at once: 16 bytes of a row, or one where rows do not lie on them.
template <typename T, int size>
struct alignas(size * sizeof(T)) Elements {
  T at[size];
};

template <typename T, WeightedSum how, int size>
__device__ void add_unit(float (&sums)[size], float weight, const Elements<T, size>& values) {
#pragma unroll
  for (int e = 0; e < size; ++e) {
    const float value = to_float(values.at[e]);
    sums[e] =
        how == WeightedSum::whole ? __fmaf_rn(value, weight, sums[e]) : sums[e] + weight * value;
  }
}

template <typename T>
struct ReduceCall {
  const T* rows;
  const std::int32_t* row_of;
  const float* weights;
  T* out;
  Count top_k;
  Count units;  // a row
  Count count;  // of all units
};

// One thread sums its elements over all choices; of some choices at a time the rows are on their
// way at once.
template <typename T, WeightedSum how, int size>
__global__ void reduce_elements(ReduceCall<T> call) {
  using Unit = Elements<T, size>;
  constexpr int at_once = 4;
  const Count i = static_cast<Count>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= call.count) return;
  const Count begin = i / call.units * call.top_k;
  const Count unit = i % call.units;
  float sums[size] = {};
  for (Count first = begin; first < begin + call.top_k; first += at_once) {
    Unit values[at_once];
    bool is_there[at_once];
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      const Count row = first + k < begin + call.top_k ? call.row_of[first + k] : -1;
      is_there[k] = row >= 0;
      if (is_there[k]) {
        values[k] = reinterpret_cast<const Unit*>(call.rows)[row * call.units + unit];
      }
    }
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      if (is_there[k]) add_unit<T, how, size>(sums, call.weights[first + k], values[k]);
    }
  }
  Unit sum;
#pragma unroll
  for (int e = 0; e < size; ++e) round_to(sums[e], sum.at[e]);
  reinterpret_cast<Unit*>(call.out)[i] = sum;
}

template <typename T, WeightedSum how, int size>
void reduce_by(CudaMemory& memory, const WeightedRows& weighted, const Tensor& out) {
  const Count units = out.columns / size;
  const ReduceCall<T> call{device_elements<T>(weighted.rows),
                           device_elements<std::int32_t>(weighted.row_of),
                           device_elements<float>(weighted.topk_weights),
                           device_elements<T>(out),
                           weighted.row_of.columns,
                           units,
                           out.rows * units};
  launch(memory.queue(), one_thread_each(call.count), reduce_elements<T, how, size>, call);
}

template <typename T, WeightedSum how>
void reduce(CudaMemory& memory, const WeightedRows& weighted, const Tensor& out) {
  constexpr int size = 16 / sizeof(T);
  const auto places = reinterpret_cast<std::uintptr_t>(weighted.rows.data) |
                      reinterpret_cast<std::uintptr_t>(out.data);
  if (out.columns % size == 0 && places % 16 == 0) {
    return reduce_by<T, how, size>(memory, weighted, out);
  }
  reduce_by<T, how, 1>(memory, weighted, out);
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
