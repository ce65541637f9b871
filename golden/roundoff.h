// How far roundings may move a value, and how large a type's values get: what the bounds of the
// judge are made of. Called by the oracle, the judge of cells and that of captures.

#pragma once

#include "kernels/base/dtype.h"

namespace moe::golden {

// How far one rounding to a dtype may move a value: unit · |value| + smallest.
struct Roundoff {
  double unit = 0;
  double smallest = 0;

  double of(double value) const { return unit * (value < 0 ? -value : value) + smallest; }
};

// Half a unit in the last place, and half the smallest step. REQUIRES bf16, f16 or f32.
Roundoff roundoff_of(DType dtype);

// n · unit / (1 - n · unit): what n additions, each rounded to that unit (fp32's where none is
// given), may lose of the sum of absolute values.
double gamma_of(Count n, double unit = 0x1p-24);

// The largest finite value of bf16, f16 or f32.
double largest_of(DType dtype);

}  // namespace moe::golden
