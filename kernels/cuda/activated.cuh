// One activated element on a GPU, as activation_values.h has it; gelu's erf is CUDA's. For the
// experts with products, plain and quantised.

#pragma once

#include "kernels/activation_values.h"
#include "kernels/base/activation.h"

namespace moe::cuda {

__device__ inline float gelu(float x) { return 0.5F * x * (1.0F + erff(x * 0.70710678118654752F)); }

// One activated element. inner(column): the first product, rounded to the rows' type.
template <typename T, typename Inner>
__device__ float activated(Activation activation, Count column, Count count, Inner inner) {
  switch (activation) {
    case Activation::silu:
      return rounded_as<T>(silu(inner(column))) * inner(column + count);
    case Activation::gelu:
      return rounded_as<T>(gelu(inner(column))) * inner(column + count);
    case Activation::swigluoai:
      return swigluoai(inner(2 * column), inner(2 * column + 1));
    case Activation::relu2_no_mul: {
      const float value = relu(inner(column));
      return value * value;
    }
    case Activation::silu_no_mul:
      return silu(inner(column));
    default:
      return gelu(inner(column));
  }
}

}  // namespace moe::cuda
