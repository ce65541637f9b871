// Bounds follow from the recipes' definitions: half a step of the format, as a share of the number
// or of the largest scale that its block may get, and what lies beyond the format's end.

#include "golden/requantisation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/base/bits.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr double e4m3_limit = 448;
constexpr double e2m1_limit = 6;
constexpr double tiny_scale = 0x1p-122;  // below it e8m0 recipes flush or floor
constexpr double arithmetic = 0x1p-20;   // of a scale, a factor and a quotient in fp32, together

// How a block's largest scale follows from a bound A on its largest magnitude.
using LargestScale = double (*)(double most, double given);

// relative: half a step of a number above the scale's smallest; absolute: of those below, in
// scales. limit: where the format ends, in scales; 0 where a scale that follows the largest
// magnitude keeps all within relative.
struct Loss {
  std::string_view recipe;
  Count columns;  // that share a scale; 0: a row
  double relative;
  double absolute;
  double limit;
  LargestScale largest_scale;
};

double nvfp4_scale(double most, double given) {
  return std::min(most / 6 * (1 + 0x1p-4) + 0x1p-10 / given, 448 / given);
}

const std::array<Loss, 16> losses = {{
    {"fp8_static_tensor", 0, 0x1p-4, 0x1p-10, e4m3_limit, [](double, double s) { return s; }},
    {"fp8_dynamic_tensor", 0, 0x1p-4, 0x1p-10, 0, [](double, double s) { return s; }},
    {"fp8_dynamic_token", 0, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return std::max(a / 448, 1.0 / (448 * 512)); }},
    {"fp8_block128", 128, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return std::max(a, 1e-10) / 448; }},
    {"fp8_block128_triton", 128, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return std::max(a, 1e-10) / 448; }},
    {"fp8_block128_ue8m0", 128, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return 2 * std::max(a / 448, 1e-10); }},
    {"fp8_block128_ue8m0_packed", 128, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return 2 * std::max(a / 448, 1e-10); }},
    {"fp8_block128_deepep", 128, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return std::max(a, 1e-4) / 448; }},
    {"int8_dynamic_token", 0, 0, 0.5, 0, [](double a, double) { return std::max(a, 1e-10) / 127; }},
    {"int8_dynamic_token_op", 0, 0, 0.5, 0, [](double a, double) { return a / 127; }},
    {"nvfp4", 16, 0.25, 0.25, e2m1_limit, nvfp4_scale},
    {"mxfp4_cutlass", 32, 0.5, 0.25, 0,
     [](double a, double) { return std::max(a / 6, tiny_scale); }},
    {"mxfp4_even", 32, 0.25, 0.25, 0,
     [](double a, double) { return std::max(a / 3.5, tiny_scale); }},
    {"mxfp4_ocp", 32, 0.25, 0.25, 0, [](double a, double) { return std::max(a / 4, tiny_scale); }},
    {"mxfp8", 32, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return std::max(2 * a / 448, tiny_scale); }},
    {"mxfp8_torch", 32, 0x1p-4, 0x1p-10, 0,
     [](double a, double) { return std::max(a, tiny_scale); }},
}};

// What a number of at most `reach` may lose in a block whose magnitudes are at most `most`.
double lost(const Loss& loss, double reach, double most, double given) {
  const double scale = loss.largest_scale(most, given);
  double error = std::max(loss.relative * reach, loss.absolute * scale) + arithmetic * reach;
  if (loss.recipe == "nvfp4") {
    // The scale of nearly nothing is a small multiple of 2^-9 or 0, up to 2^-10 too low.
    if (most * given / 6 < 0x1p-5) error += 6 * 0x1p-10 / given;
    return error + std::max(0.0, reach - loss.limit * 448 / given);
  }
  return error + (loss.limit == 0 ? 0 : std::max(0.0, reach - loss.limit * scale));
}

// A recipe's codes and scales, as quantise.cc lays them.
struct Shape {
  bool is_four_bits;
  double (*value)(int code);
  Count rows;  // that share a scale; 0: of a part
  Count columns;
  DType scale;
};

double e4m3_value(int code) {
  const auto byte = static_cast<std::uint8_t>(code);
  return element_as_double(&byte, DType::f8e4m3);
}
double e2m1_value(int code) {
  constexpr std::array<double, 8> values = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const double value = values[static_cast<std::size_t>(code % 8)];
  return code >= 8 ? -value : value;
}
double int8_value(int code) { return code < 128 ? code : code - 256; }
double biased_value(int code) { return code; }  // bias and zero points are taken off later

Shape shape_of(std::string_view recipe, const QuantiseOrder& order) {
  const auto starts = [&](std::string_view with) { return recipe.starts_with(with); };
  const bool is_tensor = recipe.ends_with("_tensor");
  if (starts("nvfp4")) return {true, e2m1_value, 1, 16, DType::f8e4m3};
  if (starts("mxfp4")) return {true, e2m1_value, 1, 32, DType::e8m0};
  if (starts("mxfp8")) return {false, e4m3_value, 1, 32, DType::e8m0};
  if (starts("int4")) return {true, biased_value, 1, order.group_columns, order.scale_dtype};
  if (starts("int8_uint8")) return {false, biased_value, 1, order.group_columns, order.scale_dtype};
  if (starts("int8")) return {false, int8_value, is_tensor ? 0 : 1, 0, DType::f32};
  if (recipe == "fp8_block128x128") return {false, e4m3_value, 128, 128, DType::f32};
  const bool is_packed = recipe.ends_with("packed");
  const Count columns = starts("fp8_block128") ? 128 : 0;
  return {false, e4m3_value, is_tensor ? 0 : 1, columns, is_packed ? DType::e8m0 : DType::f32};
}

}  // namespace

std::vector<double> numbers_of(std::string_view recipe, const QuantisedBytes& bytes,
                               const QuantiseOrder& order) {
  MOE_CHECK(!order.is_fnuz, "the judge has no numbers of e4m3fnuz");
  const Shape shape = shape_of(recipe, order);
  const Count part_rows = order.rows / order.parts;
  const Count groups = shape.columns == 0 ? 1 : (order.columns + shape.columns - 1) / shape.columns;
  const Count bands = shape.rows == 0 ? 1 : (part_rows + shape.rows - 1) / shape.rows;
  const Count row_bytes = shape.is_four_bits ? (order.columns + 1) / 2 : order.columns;
  std::vector<double> numbers;
  for (Count row = 0; row < order.rows; ++row) {
    const Count part = row / part_rows;
    const Count band = part * bands + (shape.rows == 0 ? 0 : row % part_rows / shape.rows);
    for (Count column = 0; column < order.columns; ++column) {
      const Count group = band * groups + (shape.columns == 0 ? 0 : column / shape.columns);
      const Count at = row * row_bytes + (shape.is_four_bits ? column / 2 : column);
      const int byte = bytes.data[static_cast<std::size_t>(at)];
      const int code = !shape.is_four_bits ? byte : column % 2 == 0 ? byte % 16 : byte / 16;
      double number = shape.value(code);
      if (recipe == "int4_uint4b8") number -= 8;
      if (recipe == "int8_uint8b128") number -= 128;
      if (!bytes.zero_points.empty()) number -= bytes.zero_points[static_cast<std::size_t>(group)];
      number *= element_as_double(bytes.scales.data() + group * size_of(shape.scale), shape.scale);
      if (recipe == "nvfp4") {
        number /= static_cast<double>(order.given[static_cast<std::size_t>(part)]);
      }
      numbers.push_back(number);
    }
  }
  return numbers;
}

std::vector<double> quantised_numbers(std::string_view recipe, std::span<const float> values,
                                      const QuantiseOrder& order) {
  return numbers_of(recipe, quantise(recipe, values, order), order);
}

void add_requantisation(std::string_view recipe, double given, Count columns,
                        std::span<const double> values, std::span<double> errors) {
  const auto found = std::ranges::find(losses, recipe, &Loss::recipe);
  MOE_CHECK(found != losses.end(),
            text("no bound for numbers quantised by ", recipe, " on the way"));
  const Count group = found->columns == 0 ? columns : found->columns;
  const auto reach = [&](Count i) {
    const auto at = static_cast<std::size_t>(i);
    return std::abs(values[at]) + errors[at];
  };
  for (Count begin = 0, end = 0; begin < std::ssize(values); begin = end) {
    const Count row_end = (begin / columns + 1) * columns;
    end = std::min(begin + group, row_end);
    double most = 0;
    for (Count i = begin; i < end; ++i) most = std::max(most, reach(i));
    for (Count i = begin; i < end; ++i) {
      errors[static_cast<std::size_t>(i)] += lost(*found, reach(i), most, given);
    }
  }
}

}  // namespace moe::golden
