// The arithmetic of recipes: from the extremes of the values that share a scale to the scale, from
// a value and its scale to the code. Operation by operation as recipe_rows says, in fp32 without
// contraction; host and device share it.

#pragma once

#include <algorithm>

#include "kernels/base/bits.h"
#include "kernels/base/quant_recipe.h"

namespace moe {

// Of values that share a scale; 0 is among them, what is not a number is not.
struct Extremes {
  float amax = 0;
  float smallest = 0;
  float largest = 0;

  constexpr void add(float value) {
    amax = larger_magnitude(amax, value);
    smallest = value < smallest ? value : smallest;
    largest = value > largest ? value : largest;
  }
};

// A recipe as one call uses it. Tables are looked up once, on the host: a device has none of them.
struct RecipeCall {
  RecipeRow row;
  NumberFormat format = NumberFormat::as_it_is;
  float limit = 0;  // the format's
  DType scale_dtype = DType::f32;
  std::optional<float> scale_ub = {};  // QuantSettings
};

// REQUIRES the layout that quantized_layout gives for the recipe.
constexpr RecipeCall recipe_call(QuantRecipe recipe, const QuantizedLayout& layout,
                                 std::optional<float> scale_ub) {
  return {recipe_row(recipe), layout.format, number_format_row(layout.format).limit,
          layout.scales.dtype, scale_ub};
}

// A scale as it is stored (byte: of one-byte types; zero_point: of uint4) and what makes codes of
// values: x · factor or x / factor.
struct GroupScale {
  float value = 0;
  std::uint8_t byte = 0;
  std::uint8_t zero_point = 0;
  float factor = 0;
  bool divides = false;
};

namespace recipe_arithmetic {

constexpr IntegerRange range_of(NumberFormat format) {
  switch (format) {
    case NumberFormat::uint4b8:
      return {-8, 7};
    case NumberFormat::uint4:
      return {0, 15};
    default:
      return {-128, 127};
  }
}

constexpr int exponent_bits(float value) {
  return static_cast<int>(std::bit_cast<std::uint32_t>(value) >> 23U & 0xFFU);
}

constexpr std::uint8_t clamped_exponent(int exponent) {
  return static_cast<std::uint8_t>(std::clamp(exponent, 0, 254));
}

constexpr float rounded_to_scale_type(float value, DType dtype) {
  if (dtype == DType::f16) return to_float(to_float16(value));
  return dtype == DType::bf16 ? to_float(to_bfloat16(value)) : value;
}

constexpr std::uint8_t exponent_byte(ScaleRule rule, float amax, float limit) {
  constexpr float sixth = 1.0F / 6.0F;
  const std::uint32_t mantissa = std::bit_cast<std::uint32_t>(amax) & 0x7FFFFFU;
  switch (rule) {
    case ScaleRule::power_of_two_up:
      return e8m0_up(std::max(amax / limit, 1e-10F));
    case ScaleRule::exponent_of_sixth:  // of an infinity: 255, not a number
      return static_cast<std::uint8_t>(exponent_bits(amax * sixth));
    case ScaleRule::exponent_even:
      return clamped_exponent(exponent_bits(amax) + (mantissa >= 0x600000U ? 1 : 0) - 2);
    case ScaleRule::exponent_less_two:
      return clamped_exponent(exponent_bits(amax) - 2);
    case ScaleRule::exponent_of_limit_up:
      return e8m0_up(amax / limit);
    default:
      return clamped_exponent(exponent_bits(amax));
  }
}

// value, byte and zero_point.
constexpr GroupScale stored_scale(const RecipeCall& call, const Extremes& extremes, float given) {
  const float amax = extremes.amax;
  const float limit = call.limit;
  switch (call.row.scale_rule) {
    case ScaleRule::none:
    case ScaleRule::given:
      return {.value = given};
    case ScaleRule::over_limit:
      return {.value = amax / limit};
    case ScaleRule::times_inverse_limit:
      return {.value = amax * (1.0F / limit)};
    case ScaleRule::times_global: {
      const std::uint8_t byte = e4m3fn_code(given * (amax * (1.0F / 6.0F)));
      return {.value = e4m3fn_value(byte), .byte = byte};
    }
    case ScaleRule::symmetric_steps: {
      const float step = std::max(extremes.largest / limit, extremes.smallest / -(limit + 1));
      return {.value = rounded_to_scale_type(step, call.scale_dtype)};
    }
    case ScaleRule::zero_point_steps: {
      const float span = std::max(extremes.largest - extremes.smallest, 1e-5F);
      const float step = rounded_to_scale_type(span / limit, call.scale_dtype);
      const int zero = nearest_even_integer(-extremes.smallest / step, {0, 15});
      return {.value = step, .zero_point = static_cast<std::uint8_t>(zero)};
    }
    default: {
      const std::uint8_t byte = exponent_byte(call.row.scale_rule, amax, limit);
      const float infinity = std::bit_cast<float>(bits_of::infinity);
      return {.value = byte == 0xFF ? infinity : e8m0_value(byte), .byte = byte};
    }
  }
}

}  // namespace recipe_arithmetic

// given: the scale or global scale that came with the call, for recipes that take one.
constexpr GroupScale group_scale(const RecipeCall& call, Extremes extremes, float given) {
  const RecipeRow& row = call.row;
  const float limit = call.limit;
  if (call.scale_ub) extremes.amax = std::min(extremes.amax, *call.scale_ub);
  extremes.amax = std::max(extremes.amax, row.amax_floor);
  GroupScale scale = recipe_arithmetic::stored_scale(call, extremes, given);
  if (row.scale_floor_of != 0) {
    scale.value = std::max(scale.value, 1.0F / (limit * row.scale_floor_of));
  }
  switch (row.code_rule) {
    case CodeRule::times_inverse_scale:
      scale.factor = 1.0F / scale.value;
      break;
    case CodeRule::times_limit_over_amax:
    case CodeRule::times_limit_over_amax_away:
      scale.factor = extremes.amax == 0 ? 0 : limit / extremes.amax;
      break;
    case CodeRule::times_inverse_of_scaled:
      scale.factor = scale.value == 0 ? 0 : 1.0F / (scale.value * (1.0F / given));
      break;
    case CodeRule::over_scale_or_zero:
      scale.divides = scale.byte != 0;
      scale.factor = scale.byte == 0 ? 0 : scale.value;
      break;
    default:
      scale.divides = true;
      scale.factor = scale.value;
  }
  return scale;
}

// The code of a scaled value, in the low bits.
constexpr std::uint8_t code_of(const RecipeCall& call, float value, const GroupScale& scale) {
  const RecipeRow& row = call.row;
  const NumberFormat format = call.format;
  const float limit = call.limit;
  float scaled = scale.divides ? value / scale.factor : value * scale.factor;
  if (is_not_a_number(scaled)) {
    if (row.nan_rule == NanRule::plus_limit) scaled = limit;
    if (row.nan_rule == NanRule::minus_limit) scaled = -limit;
  }
  switch (format) {
    case NumberFormat::e4m3fn:
      return e4m3fn_code(scaled);
    case NumberFormat::e4m3fnuz:
      return e4m3fnuz_code(scaled > limit ? limit : scaled < -limit ? -limit : scaled);
    case NumberFormat::e2m1:
      return e2m1_code(scaled);
    default:
      break;
  }
  const IntegerRange range = recipe_arithmetic::range_of(format);
  const int bias = format == NumberFormat::uint4b8     ? 8
                   : format == NumberFormat::uint8b128 ? 128
                                                       : int{scale.zero_point};
  const IntegerRange shifted{range.low - int{scale.zero_point}, range.high - int{scale.zero_point}};
  const int whole = row.code_rule == CodeRule::times_limit_over_amax_away
                        ? half_away_integer(scaled, shifted)
                        : nearest_even_integer(scaled, shifted);
  return static_cast<std::uint8_t>(whole + bias);
}

// The number that a code stands for, before its scale.
constexpr float code_value(NumberFormat format, std::uint8_t code, std::uint8_t zero_point) {
  switch (format) {
    case NumberFormat::e4m3fn:
      return e4m3fn_value(code);
    case NumberFormat::e4m3fnuz:
      return e4m3fnuz_value(code);
    case NumberFormat::e2m1:
      return e2m1_value(code);
    case NumberFormat::uint4b8:
      return static_cast<float>(int{code} - 8);
    case NumberFormat::uint4:
      return static_cast<float>(int{code} - int{zero_point});
    case NumberFormat::uint8b128:
      return static_cast<float>(int{code} - 128);
    default:
      return static_cast<float>(static_cast<std::int8_t>(code));
  }
}

}  // namespace moe
