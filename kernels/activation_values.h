// Activations of one number, which the host's loops and the device's kernels share, so that both
// give the same bits. gelu needs erf, which each has its own of. Activations round where vLLM's
// CUDA kernels do (csrc/activation_kernels.cu; experts-and-oracles.md, 9.1). Every function is
// inlined: whoever compiles them with an instruction set of their own must leave none behind.

#pragma once

#include <bit>
#include <limits>

#include "kernels/base/bits.h"

namespace moe {
namespace {

constexpr float swigluoai_alpha = 1.702F;
constexpr float swigluoai_limit = 7.0F;

// exp(x) within 2 · 2^-24 of its value. Below -86 it is exp(-86), which no 1 + exp(x) can see.
// x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 is taken in two parts, the first short enough that n times
// it is exact; a polynomial for exp(r); 2^n by its bits, halved so that n = 128 has some.
[[gnu::always_inline]] constexpr inline float exp_for_sigmoid(float x) {
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

[[gnu::always_inline]] constexpr inline float silu(float x) {
  return x / (1.0F + exp_for_sigmoid(-x));
}

// A NaN becomes the limit, as in vLLM's kernel (fmin and fmax).
[[gnu::always_inline]] constexpr inline float swigluoai(float gate, float up) {
  const float g = gate < swigluoai_limit ? gate : swigluoai_limit;
  const float below = up < swigluoai_limit ? up : swigluoai_limit;
  const float u = below > -swigluoai_limit ? below : -swigluoai_limit;
  return (u + 1.0F) * (g / (1.0F + exp_for_sigmoid(-g * swigluoai_alpha)));
}

// max(x, 0) that keeps a NaN.
[[gnu::always_inline]] constexpr inline float relu(float x) { return x < 0.0F ? 0.0F : x; }

template <typename T>
[[gnu::always_inline]] constexpr inline float rounded_as(float value) {
  T element{};
  round_to(value, element);
  return to_float(element);
}

}  // namespace
}  // namespace moe
