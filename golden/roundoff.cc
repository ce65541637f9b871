// The few numbers of floating types that bounds are made of: theirs by IEEE's rounding to nearest.
// Which roundings a value goes through is for whoever asks.

#include "golden/roundoff.h"

namespace moe::golden {

Roundoff roundoff_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return {0x1p-8, 0x1p-134};
    case DType::f16:
      return {0x1p-11, 0x1p-25};
    default:
      return {0x1p-24, 0x1p-150};
  }
}

double gamma_of(Count n, double unit) {
  const double lost = static_cast<double>(n) * unit;
  return lost / (1 - lost);
}

double largest_of(DType dtype) {
  if (dtype == DType::f16) return 65504;
  return dtype == DType::bf16 ? 0x1.fep127 : 0x1.fffffep127;
}

}  // namespace moe::golden
