// Any element as a double: the slow road that judges, reports and tests take.
// Kernels convert with the functions of bits.h instead.

#include "kernels/base/bits.h"

#include <cmath>
#include <cstring>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

template <typename T>
T loaded(const void* element) {
  T value;
  std::memcpy(&value, element, sizeof value);
  return value;
}

double e4m3_as_double(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 0xF;
  const int mantissa = bits & 0x7;
  if (exponent == 0xF && mantissa == 0x7) return std::nan("");
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

}  // namespace

double element_as_double(const void* element, DType dtype) {
  switch (dtype) {
    case DType::f64:
      return loaded<double>(element);
    case DType::f32:
      return static_cast<double>(loaded<float>(element));
    case DType::bf16:
      return static_cast<double>(to_float(loaded<BFloat16>(element)));
    case DType::f16:
      return static_cast<double>(to_float(loaded<Float16>(element)));
    case DType::f8e4m3:
      return e4m3_as_double(loaded<std::uint8_t>(element));
    case DType::e8m0: {
      const auto bits = loaded<std::uint8_t>(element);
      return bits == 0xFF ? std::nan("") : std::ldexp(1.0, bits - 127);
    }
    case DType::i8:
      return loaded<std::int8_t>(element);
    case DType::i16:
      return loaded<std::int16_t>(element);
    case DType::i32:
      return loaded<std::int32_t>(element);
    case DType::i64:
      return static_cast<double>(loaded<std::int64_t>(element));
    case DType::u8:
      return loaded<std::uint8_t>(element);
    case DType::e2m1x2:
      break;
  }
  throw ContractError(text("no single element of type ", name_of(dtype), " exists"));
}

}  // namespace moe
