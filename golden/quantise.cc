// One function for each recipe: what it makes of the values that share a scale. Steps in float are
// those that the recipe rounds; everything else is exact in double.

#include "golden/quantise.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "kernels/base/bits.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

// The values of the codes from 0 up, all of one sign.
using Values = std::vector<double>;

Values e4m3_values(int bias, int count) {
  Values values;
  for (int code = 0; code < count; ++code) {
    const int exponent = code / 8;
    const int eighths = code % 8 + (exponent == 0 ? 0 : 8);
    values.push_back(std::ldexp(eighths, std::max(exponent, 1) - bias - 3));
  }
  return values;
}

const Values e4m3fn_values = e4m3_values(7, 127);
const Values e4m3fnuz_values = e4m3_values(8, 128);
const Values e2m1_values = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

// The code of the value that is nearest, the even one of two.
int nearest(const Values& values, double magnitude) {
  const auto above = std::ranges::lower_bound(values, magnitude);
  if (above == values.end()) return static_cast<int>(std::ssize(values)) - 1;
  const int code = static_cast<int>(above - values.begin());
  if (*above == magnitude || code == 0) return code;
  const double up = *above - magnitude;
  const double down = magnitude - values[static_cast<std::size_t>(code) - 1];
  if (up == down) return code % 2 == 0 ? code : code - 1;
  return up < down ? code : code - 1;
}

std::uint8_t signed_code(const Values& values, float value, int sign_bit) {
  const int code = nearest(values, std::fabs(static_cast<double>(value)));
  return static_cast<std::uint8_t>(code + (std::signbit(value) ? sign_bit : 0));
}

std::uint8_t to_e4m3fnuz(float value) {
  if (std::isnan(value)) return 0x80;
  const std::uint8_t code = signed_code(e4m3fnuz_values, value, 0x80);
  return code == 0x80 ? 0 : code;
}

std::uint8_t to_e2m1(float value) {
  return std::isnan(value) ? 7 : signed_code(e2m1_values, value, 8);
}

std::uint8_t whole(double rounded, int low, int high, int bias) {
  if (std::isnan(rounded)) rounded = 0;
  return static_cast<std::uint8_t>(static_cast<int>(std::clamp<double>(rounded, low, high)) + bias);
}

// The larger one; what is not a number is no candidate, signalling or not, as std::fmax has it not.
float larger(float most, float value) { return value > most ? value : most; }

using CodeOf = std::function<std::uint8_t(float)>;

// What a recipe makes of the values that share a scale.
struct Made {
  std::uint32_t scale = 0;  // its bits
  CodeOf code;
  std::uint8_t zero_point = 0;
};

// Values that share a scale, and what the order says of them.
struct Block {
  std::vector<float> values;
  float given = 0;
  const QuantiseOrder* order = nullptr;

  float amax(float floor = 0) const {
    float most = floor;
    for (const float value : values) most = larger(most, std::fabs(value));
    return most;
  }
  float limit() const { return order->is_fnuz ? 224.0F : 448.0F; }
  std::uint8_t e4m3(float value) const {
    return order->is_fnuz ? to_e4m3fnuz(value) : to_e4m3(value);
  }
};

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

// The largest whole e with 2^e <= value, and the smallest with 2^e >= value; -127 for 0.
int log2_down(float value) {
  if (value == 0) return -127;
  return std::isinf(value) ? 128 : std::ilogb(value);
}
int log2_up(float value) {
  const int down = log2_down(value);
  const bool is_power = value == 0 || std::isinf(value) || std::ldexp(1.0, down) == value;
  return is_power ? down : down + 1;
}

std::uint32_t exponent_byte(int exponent) {
  return static_cast<std::uint32_t>(std::clamp(exponent, -127, 127) + 127);
}

float power(std::uint32_t byte) {
  return static_cast<float>(std::ldexp(1.0, static_cast<int>(byte) - 127));
}

// clamp(x, ±limit) as the per-tensor and per-token converters and as the group kernel write it.
std::uint8_t tensor_code(const Block& block, float value) {
  return block.e4m3(std::fmax(-block.limit(), std::fmin(value, block.limit())));
}
std::uint8_t group_code(const Block& block, float value) {
  return block.e4m3(std::fmin(std::fmax(value, -block.limit()), block.limit()));
}

Made times_inverse(const Block& block, float scale) {
  const float inverse = 1.0F / scale;
  return {bits_of(scale), [=](float x) { return tensor_code(block, x * inverse); }};
}
Made fp8_static_tensor(const Block& block) { return times_inverse(block, block.given); }
Made fp8_dynamic_tensor(const Block& block) {
  return times_inverse(block, block.amax() / block.limit());
}

Made fp8_dynamic_token(const Block& block) {
  float most = block.amax();
  if (block.order->scale_ub) most = std::fmin(most, *block.order->scale_ub);
  const float scale = std::fmax(most / block.limit(), 1.0F / (block.limit() * 512.0F));
  return {bits_of(scale), [=](float x) { return tensor_code(block, x / scale); }};
}

Made over(const Block& block, float scale) {
  return {bits_of(scale), [=](float x) { return group_code(block, x / scale); }};
}
Made fp8_block128(const Block& block) { return over(block, block.amax(1e-10F) / block.limit()); }
Made fp8_block128_triton(const Block& block) {
  return over(block, block.amax(1e-10F) * (1.0F / block.limit()));
}
Made fp8_block128x128(const Block& block) { return over(block, block.amax(1e-4F) / block.limit()); }

Made fp8_block128_ue8m0_packed(const Block& block) {
  const float scale = std::fmax(block.amax(1e-10F) / block.limit(), 1e-10F);
  const std::uint32_t byte = exponent_byte(log2_up(scale));
  Made made = over(block, power(byte));
  made.scale = byte;
  return made;
}
Made fp8_block128_ue8m0(const Block& block) {
  Made made = fp8_block128_ue8m0_packed(block);
  made.scale = bits_of(power(made.scale));
  return made;
}

Made fp8_block128_deepep(const Block& block) {
  const float most = block.amax(1e-4F);
  const float factor = block.limit() / most;
  return {bits_of(most * (1.0F / block.limit())), [=](float x) {
            const float limit = block.limit();
            return block.e4m3(std::isnan(x * factor) ? NAN : std::clamp(x * factor, -limit, limit));
          }};
}

Made int8_dynamic_token(const Block& block) {
  const float most = block.amax(1e-10F);
  const float factor = 127.0F / most;
  return {bits_of(most / 127.0F),
          [=](float x) { return whole(std::round(x * factor), -128, 127, 0); }};
}
Made int8_dynamic_token_op(const Block& block) {
  const float most = block.amax();
  const float factor = most == 0 ? 0 : 127.0F / most;
  return {bits_of(most / 127.0F),
          [=](float x) { return whole(std::nearbyint(x * factor), -128, 127, 0); }};
}
Made int8_over(float scale) {
  return {bits_of(scale), [=](float x) { return whole(std::nearbyint(x / scale), -128, 127, 0); }};
}
Made int8_static_tensor(const Block& block) { return int8_over(block.given); }
Made int8_channel(const Block& block) { return int8_over(block.amax() / 127.0F); }

Made nvfp4(const Block& block) {
  const std::uint8_t byte = to_e4m3(block.given * (block.amax() * (1.0F / 6.0F)));
  const auto scale = static_cast<float>(byte == 0x7F ? NAN : e4m3fn_values[byte]);
  const float factor = scale == 0 ? 0 : 1.0F / (scale * (1.0F / block.given));
  return {byte, [=](float x) { return to_e2m1(x * factor); }};
}

Made mxfp4(std::uint32_t byte) {
  return {byte, [=](float x) { return to_e2m1(x / power(byte)); }};
}
Made mxfp4_cutlass(const Block& block) {
  const float sixth = block.amax() * (1.0F / 6.0F);
  const auto byte = std::isinf(sixth) ? 255U : exponent_byte(log2_down(sixth));
  if (byte != 0 && byte != 255) return mxfp4(byte);
  return {byte, [](float x) { return to_e2m1(x * 0.0F); }};  // an infinity makes no number: 6
}
Made mxfp4_even(const Block& block) {
  const float most = block.amax();
  const int down = log2_down(most);
  const bool up = !std::isinf(most) && most >= std::ldexp(1.75, down);
  return mxfp4(exponent_byte(down + (up ? 1 : 0) - 2));
}
Made mxfp4_ocp(const Block& block) { return mxfp4(exponent_byte(log2_down(block.amax()) - 2)); }

Made mxfp8_with(std::uint32_t byte) {
  return {byte, [=](float x) { return to_e4m3(x / power(byte)); }};
}
Made mxfp8(const Block& block) { return mxfp8_with(exponent_byte(log2_up(block.amax() / 448.0F))); }
Made mxfp8_torch(const Block& block) { return mxfp8_with(exponent_byte(log2_down(block.amax()))); }

// A scale as its type holds it: the number and its bits.
struct Held {
  float value;
  std::uint32_t bits;
};
Held held(float value, DType dtype) {
  if (dtype == DType::f32) return {value, bits_of(value)};
  if (dtype == DType::f16) return {to_float(to_float16(value)), to_float16(value).bits};
  return {to_float(to_bfloat16(value)), to_bfloat16(value).bits};
}

Made biased(const Block& block, int bias) {
  float step = 0;
  for (const float x : block.values) {
    step = larger(step, x / static_cast<float>(x > 0 ? bias - 1 : -bias));
  }
  const Held scale = held(step, block.order->scale_dtype);
  return {scale.bits,
          [=](float x) { return whole(std::nearbyint(x / scale.value), -bias, bias - 1, bias); }};
}
Made int4_uint4b8(const Block& block) { return biased(block, 8); }
Made int8_uint8b128(const Block& block) { return biased(block, 128); }

Made int4_zero_point(const Block& block) {
  float low = 0;
  float high = 0;
  for (const float x : block.values) {
    low = -larger(-low, -x);
    high = larger(high, x);
  }
  const Held scale = held(std::fmax(high - low, 1e-5F) / 15.0F, block.order->scale_dtype);
  const int zero = whole(std::nearbyint(-low / scale.value), 0, 15, 0);
  return {scale.bits,
          [=](float x) { return whole(std::nearbyint(x / scale.value), -zero, 15 - zero, zero); },
          static_cast<std::uint8_t>(zero)};
}

constexpr Count all = 0;
constexpr Count chosen = -1;  // the order's

struct Recipe {
  std::string_view name;
  Count rows;
  Count columns;
  Count scale_bytes;  // or the order's type's
  Count codes_per_byte;
  Made (*make)(const Block&);
};

constexpr Recipe recipes[] = {
    {"fp8_static_tensor", all, all, 4, 1, fp8_static_tensor},
    {"fp8_dynamic_tensor", all, all, 4, 1, fp8_dynamic_tensor},
    {"fp8_dynamic_token", 1, all, 4, 1, fp8_dynamic_token},
    {"fp8_block128", 1, 128, 4, 1, fp8_block128},
    {"fp8_block128_triton", 1, 128, 4, 1, fp8_block128_triton},
    {"fp8_block128_ue8m0", 1, 128, 4, 1, fp8_block128_ue8m0},
    {"fp8_block128_ue8m0_packed", 1, 128, 1, 1, fp8_block128_ue8m0_packed},
    {"fp8_block128_deepep", 1, 128, 4, 1, fp8_block128_deepep},
    {"int8_dynamic_token", 1, all, 4, 1, int8_dynamic_token},
    {"int8_dynamic_token_op", 1, all, 4, 1, int8_dynamic_token_op},
    {"int8_static_tensor", all, all, 4, 1, int8_static_tensor},
    {"nvfp4", 1, 16, 1, 2, nvfp4},
    {"mxfp4_cutlass", 1, 32, 1, 2, mxfp4_cutlass},
    {"mxfp4_even", 1, 32, 1, 2, mxfp4_even},
    {"mxfp4_ocp", 1, 32, 1, 2, mxfp4_ocp},
    {"mxfp8", 1, 32, 1, 1, mxfp8},
    {"mxfp8_torch", 1, 32, 1, 1, mxfp8_torch},
    {"fp8_channel", 1, all, 4, 1, fp8_dynamic_token},
    {"fp8_block128x128", 128, 128, 4, 1, fp8_block128x128},
    {"int8_channel", 1, all, 4, 1, int8_channel},
    {"int4_uint4b8", 1, chosen, 2, 2, int4_uint4b8},
    {"int4_zero_point", 1, chosen, 2, 2, int4_zero_point},
    {"int8_uint8b128", 1, chosen, 2, 1, int8_uint8b128},
};

class Quantising {
 public:
  Quantising(const Recipe& recipe, std::span<const float> values, const QuantiseOrder& order)
      : recipe_(recipe), values_(values), order_(order) {
    const Count row_bytes = (order.columns + recipe.codes_per_byte - 1) / recipe.codes_per_byte;
    bytes_.data.resize(static_cast<std::size_t>(order.rows * row_bytes));
  }

  QuantisedBytes quantise() {
    const Count part_rows = order_.rows / order_.parts;
    const Count rows = recipe_.rows == all ? part_rows : recipe_.rows;
    const Count wished = recipe_.columns == chosen ? order_.group_columns : recipe_.columns;
    const Count columns = wished == all ? order_.columns : wished;
    for (Count part = 0; part < order_.parts; ++part) {
      for (Count row = part * part_rows; row < (part + 1) * part_rows; row += rows) {
        for (Count column = 0; column < order_.columns; column += columns) {
          const Rectangle block{row, std::min(row + rows, (part + 1) * part_rows), column,
                                std::min(column + columns, order_.columns)};
          quantise(block, order_.given.empty() ? 0 : order_.given[static_cast<std::size_t>(part)]);
        }
      }
    }
    return std::move(bytes_);
  }

 private:
  struct Rectangle {
    Count row;
    Count end_row;
    Count column;
    Count end_column;
  };

  float value(Count row, Count column) const {
    return values_[static_cast<std::size_t>(row * order_.columns + column)];
  }

  void quantise(const Rectangle& at, float given) {
    Block block{{}, given, &order_};
    for (Count row = at.row; row < at.end_row; ++row) {
      for (Count c = at.column; c < at.end_column; ++c) block.values.push_back(value(row, c));
    }
    const Made made = recipe_.make(block);
    for (Count row = at.row; row < at.end_row; ++row) {
      for (Count c = at.column; c < at.end_column; ++c) put(row, c, made.code(value(row, c)));
    }
    const Count size =
        recipe_.columns == chosen ? size_of(order_.scale_dtype) : recipe_.scale_bytes;
    for (Count byte = 0; byte < size; ++byte) {
      bytes_.scales.push_back(static_cast<std::uint8_t>(made.scale >> (8 * byte)));
    }
    if (recipe_.make == int4_zero_point) bytes_.zero_points.push_back(made.zero_point);
  }

  void put(Count row, Count column, std::uint8_t code) {
    const Count width = recipe_.codes_per_byte;
    const Count row_bytes = (order_.columns + width - 1) / width;
    std::uint8_t& byte = bytes_.data[static_cast<std::size_t>(row * row_bytes + column / width)];
    byte = static_cast<std::uint8_t>(byte + (column % width == 0 ? code : code * 16));
  }

  const Recipe& recipe_;
  std::span<const float> values_;
  const QuantiseOrder& order_;
  QuantisedBytes bytes_;
};

}  // namespace

std::uint8_t to_e4m3(float value) {
  return std::isnan(value) ? 0x7F : signed_code(e4m3fn_values, value, 0x80);
}

std::vector<std::string_view> quantise_recipes() {
  std::vector<std::string_view> names;
  for (const Recipe& recipe : recipes) names.push_back(recipe.name);
  return names;
}

QuantisedBytes quantise(std::string_view recipe, std::span<const float> values,
                        const QuantiseOrder& order) {
  const auto found = std::ranges::find(recipes, recipe, &Recipe::name);
  MOE_CHECK(found != std::ranges::end(recipes),
            text("no recipe ", recipe, "; known: ", joined(quantise_recipes())));
  MOE_CHECK(order.parts > 0 && order.rows % order.parts == 0 &&
                std::ssize(values) == order.rows * order.columns,
            text(values.size(), " values for ", order.rows, " x ", order.columns, " in ",
                 order.parts, " parts"));
  MOE_CHECK(order.given.empty() || std::ssize(order.given) == order.parts,
            text(order.given.size(), " given scales for ", order.parts, " parts"));
  return Quantising(*found, values, order).quantise();
}

}  // namespace moe::golden
