// What row_loops_*.cc compile, each with its own instruction set: plain loops that a compiler turns
// into vectors. Everything has internal linkage, and nothing here may call a function that is not
// inlined: the linker would keep one copy for all sets. Contraction is off, so bytes do not differ.
// What an activation is and where it rounds is activation_values.h.

#pragma once

#include <cmath>

#include "kernels/activation_values.h"
#include "kernels/cpu/row_loops.h"

namespace moe::cpu {
namespace {

[[gnu::always_inline]] inline float gelu(float x) {
  return 0.5F * x * (1.0F + ::erff(x * 0.70710678118654752F));
}

// Two halves: the gate's activation is rounded before the product.
template <typename T, typename Function>
[[gnu::always_inline]] inline void halves(const T* __restrict inner, T* __restrict out, Count count,
                                          Function function) {
  const T* up = inner + count;
  for (Count i = 0; i < count; ++i) {
    round_to(rounded_as<T>(function(to_float(inner[i]))) * to_float(up[i]), out[i]);
  }
}

template <typename T, typename Function>
[[gnu::always_inline]] inline void alone(const T* __restrict inner, T* __restrict out, Count count,
                                         Function function) {
  for (Count i = 0; i < count; ++i) round_to(function(to_float(inner[i])), out[i]);
}

template <typename T>
[[gnu::always_inline]] inline void interleaved(const T* __restrict inner, T* __restrict out,
                                               Count count) {
  for (Count i = 0; i < count; ++i) {
    round_to(swigluoai(to_float(inner[2 * i]), to_float(inner[2 * i + 1])), out[i]);
  }
}

template <typename T>
void activate_as(Activation activation, const T* inner, T* out, Count count) {
  switch (activation) {
    case Activation::silu:
      return halves(inner, out, count, [](float x) { return silu(x); });
    case Activation::gelu:
      return halves(inner, out, count, [](float x) { return gelu(x); });
    case Activation::swigluoai:
      return interleaved(inner, out, count);
    case Activation::relu2_no_mul:
      return alone(inner, out, count, [](float x) { return relu(x) * relu(x); });
    case Activation::silu_no_mul:
      return alone(inner, out, count, [](float x) { return silu(x); });
    case Activation::gelu_no_mul:
      return alone(inner, out, count, [](float x) { return gelu(x); });
  }
}

template <typename T>
void add_weighted_as(const T* __restrict row, float weight, float* __restrict sum, Count count) {
  for (Count i = 0; i < count; ++i) sum[i] += weight * to_float(row[i]);
}

template <typename T>
void add_weighted_whole_as(const T* __restrict row, float weight, float* __restrict sum,
                           Count count) {
  for (Count i = 0; i < count; ++i) sum[i] = __builtin_fmaf(to_float(row[i]), weight, sum[i]);
}

template <typename T>
void round_row_as(const float* __restrict sum, T* __restrict out, Count count) {
  for (Count i = 0; i < count; ++i) round_to(sum[i], out[i]);
}

// The element's type is known inside, as in for_row_type (bits.h), which is not of this linkage.
template <typename Function>
[[gnu::always_inline]] inline void by_type(DType dtype, Function function) {
  if (dtype == DType::bf16) return function(BFloat16{});
  if (dtype == DType::f16) return function(Float16{});
  function(float{});
}

void activate_row(Activation activation, DType dtype, const void* inner, void* out, Count count) {
  by_type(dtype, [&](auto element) {
    using T = decltype(element);
    activate_as(activation, static_cast<const T*>(inner), static_cast<T*>(out), count);
  });
}

void add_weighted_row(DType dtype, const void* row, float weight, float* sum, Count count) {
  by_type(dtype, [&](auto element) {
    add_weighted_as(static_cast<const decltype(element)*>(row), weight, sum, count);
  });
}

void add_weighted_whole_row(DType dtype, const void* row, float weight, float* sum, Count count) {
  by_type(dtype, [&](auto element) {
    add_weighted_whole_as(static_cast<const decltype(element)*>(row), weight, sum, count);
  });
}

void round_sums(DType dtype, const float* sum, void* out, Count count) {
  by_type(dtype,
          [&](auto element) { round_row_as(sum, static_cast<decltype(element)*>(out), count); });
}

}  // namespace
}  // namespace moe::cpu
