// Activations on the host, each rounding where vLLM's CUDA kernels have it
// (csrc/activation_kernels.cu; experts-and-oracles.md, 9.1): the two-half forms round the gate's
// activation before they multiply, the others round once.

#include <algorithm>
#include <cmath>

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

constexpr float swigluoai_alpha = 1.702F;
constexpr float swigluoai_limit = 7.0F;

float silu(float x) { return x / (1.0F + std::exp(-x)); }

float gelu(float x) { return 0.5F * x * (1.0F + std::erf(x * 0.70710678118654752F)); }

// fmin and fmax: a NaN becomes the limit, as in vLLM's kernel.
float swigluoai(float gate, float up) {
  const float g = std::fmin(gate, swigluoai_limit);
  const float u = std::fmax(std::fmin(up, swigluoai_limit), -swigluoai_limit);
  return (u + 1.0F) * (g / (1.0F + std::exp(-g * swigluoai_alpha)));
}

// max(x, 0) that keeps a NaN.
float relu(float x) { return x < 0.0F ? 0.0F : x; }

template <typename T>
float rounded(float value) {
  T element;
  round_to(value, element);
  return to_float(element);
}

template <typename T, typename Function>
void halves(const T* inner, std::span<T> out, Function function) {
  const T* up = inner + out.size();
  for (std::size_t i = 0; i < out.size(); ++i) {
    round_to(rounded<T>(function(to_float(inner[i]))) * to_float(up[i]), out[i]);
  }
}

template <typename T>
void interleaved(const T* inner, std::span<T> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    round_to(swigluoai(to_float(inner[2 * i]), to_float(inner[2 * i + 1])), out[i]);
  }
}

template <typename T, typename Function>
void alone(const T* inner, std::span<T> out, Function function) {
  for (std::size_t i = 0; i < out.size(); ++i) round_to(function(to_float(inner[i])), out[i]);
}

template <typename T>
void activate_row(Activation activation, const T* inner, std::span<T> out) {
  switch (activation) {
    case Activation::silu:
      return halves(inner, out, silu);
    case Activation::gelu:
      return halves(inner, out, gelu);
    case Activation::swigluoai:
      return interleaved(inner, out);
    case Activation::relu2_no_mul:
      return alone(inner, out, [](float x) { return relu(x) * relu(x); });
    case Activation::silu_no_mul:
      return alone(inner, out, silu);
    case Activation::gelu_no_mul:
      return alone(inner, out, gelu);
  }
}

}  // namespace

void activate(Activation activation, const Tensor& inner, const Tensor& out) {
  for_row_type(out.dtype, [&](auto element) {
    using T = decltype(element);
    for (Count row = 0; row < out.rows; ++row) {
      activate_row(activation, static_cast<const T*>(inner.data) + row * inner.columns,
                   std::span(static_cast<T*>(out.data) + row * out.columns,
                             static_cast<std::size_t>(out.columns)));
    }
  });
}

}  // namespace moe::cpu
