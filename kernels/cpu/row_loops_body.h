// What row_loops_*.cc compile, each with its own instruction set: plain loops that a compiler turns
// into vectors. Everything has internal linkage, and nothing here may call a function that is not
// inlined: the linker would keep one copy for all sets. Contraction is off, so bytes do not differ.
// Activations round where vLLM's CUDA kernels do (csrc/activation_kernels.cu;
// experts-and-oracles.md, 9.1).

#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/base/bits.h"
#include "kernels/cpu/row_loops.h"

namespace moe::cpu {
namespace {

constexpr float swigluoai_alpha = 1.702F;
constexpr float swigluoai_limit = 7.0F;

// exp(x) within 2 · 2^-24 of its value. Below -86 it is exp(-86), which no 1 + exp(x) can see.
// x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 is taken in two parts, the first short enough that n times
// it is exact; a polynomial for exp(r); 2^n by its bits, halved so that n = 128 has some.
[[gnu::always_inline]] inline float exp_for_sigmoid(float x) {
  constexpr float to_integer = 0x1.8p23F;  // added, it rounds to an integer in the low bits
  const float bounded = x < -86.0F ? -86.0F : (x > 89.0F ? 89.0F : x);
  const float shifted = bounded * 0x1.715476p0F + to_integer;
  const float n = shifted - to_integer;
  const float r = (bounded - n * 0x1.63p-1F) - n * -0x1.bd0106p-13F;
  float p = 0x1.a0d2cep-13F;
  p = p * r + 0x1.6e879cp-10F;
  p = p * r + 0x1.111380p-7F;
  p = p * r + 0x1.5554fap-5F;
  p = p * r + 0x1.555556p-3F;
  p = p * r + 0x1.fffffep-2F;
  const float mantissa = 1.0F + (r + p * (r * r));
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) + 126U;
  const float half = std::bit_cast<float>(exponent << 23U);
  const float power = mantissa * half * 2.0F;
  return x > 0x1.62e42ep6F ? std::numeric_limits<float>::infinity() : power;
}

[[gnu::always_inline]] inline float silu(float x) { return x / (1.0F + exp_for_sigmoid(-x)); }

[[gnu::always_inline]] inline float gelu(float x) {
  return 0.5F * x * (1.0F + ::erff(x * 0.70710678118654752F));
}

// A NaN becomes the limit, as in vLLM's kernel (fmin and fmax).
[[gnu::always_inline]] inline float swigluoai(float gate, float up) {
  const float g = gate < swigluoai_limit ? gate : swigluoai_limit;
  const float below = up < swigluoai_limit ? up : swigluoai_limit;
  const float u = below > -swigluoai_limit ? below : -swigluoai_limit;
  return (u + 1.0F) * (g / (1.0F + exp_for_sigmoid(-g * swigluoai_alpha)));
}

// max(x, 0) that keeps a NaN.
[[gnu::always_inline]] inline float relu(float x) { return x < 0.0F ? 0.0F : x; }

template <typename T>
[[gnu::always_inline]] inline float rounded(float value) {
  T element;
  round_to(value, element);
  return to_float(element);
}

// Two halves: the gate's activation is rounded before the product.
template <typename T, typename Function>
[[gnu::always_inline]] inline void halves(const T* __restrict inner, T* __restrict out, Count count,
                                          Function function) {
  const T* up = inner + count;
  for (Count i = 0; i < count; ++i) {
    round_to(rounded<T>(function(to_float(inner[i]))) * to_float(up[i]), out[i]);
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
