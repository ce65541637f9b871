// Division to the bit of x / d without the branches of the compiler's own: its steps between its
// checks. Where a step might leave the normal numbers the caller divides as usual. Included by
// kernels that divide many numbers.

#pragma once

#include <cuda_runtime.h>

namespace moe::cuda {

// A divisor, its inverse found once.
struct Divisor {
  float d;
  float inverse;

  __device__ explicit Divisor(float divisor) : d(divisor), inverse(0) {
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(d));
    inverse = __fmaf_rn(inverse, __fmaf_rn(-d, inverse, 1.0F), inverse);
  }

  __device__ bool is_usual() const { return d > 0x1p-60F && d < 0x1p60F; }

  // x / d where it and x are usual, too, and d: is_usual.
  __device__ float divide(float x) const {
    const float first = x * inverse;
    const float second = __fmaf_rn(__fmaf_rn(-d, first, x), inverse, first);
    return __fmaf_rn(__fmaf_rn(-d, second, x), inverse, second);
  }
};

__device__ inline bool is_usual_dividend(float x) {
  return fabsf(x) > 0x1p-60F && fabsf(x) < 0x1p60F;
}

}  // namespace moe::cuda
