// The kernels' text, and a macro for each enumerator that they name: a number is written once, on
// the C++ side.

#include "kernels/xpu/opencl_program.h"

#include <algorithm>
#include <cctype>

#include "kernels/base/activation.h"
#include "kernels/base/quant_recipe.h"
#include "kernels/base/text.h"
#include "kernels/quantized_pipeline.h"
#include "kernels/router_settings.h"
#include "kernels/xpu/kernel_text.h"

namespace moe::xpu {
namespace {

// -D PREFIX_WORD=number, the word in capitals.
template <typename Enumerator>
std::string macro(std::string_view prefix, std::string_view word, Enumerator value) {
  std::string name = text(prefix, word);
  std::ranges::transform(name, name.begin(), [](unsigned char c) {
    return static_cast<char>(std::isalnum(c) != 0 ? std::toupper(c) : '_');
  });
  return text(" -D ", name, "=", static_cast<int>(value));
}

std::string scale_rules() {
  using enum ScaleRule;
  return macro("scale_", "none", none) + macro("scale_", "given", given) +
         macro("scale_", "over_limit", over_limit) +
         macro("scale_", "times_inverse_limit", times_inverse_limit) +
         macro("scale_", "power_of_two_up", power_of_two_up) +
         macro("scale_", "times_global", times_global) +
         macro("scale_", "exponent_of_sixth", exponent_of_sixth) +
         macro("scale_", "exponent_even", exponent_even) +
         macro("scale_", "exponent_less_two", exponent_less_two) +
         macro("scale_", "exponent_of_limit_up", exponent_of_limit_up) +
         macro("scale_", "symmetric_steps", symmetric_steps) +
         macro("scale_", "zero_point_steps", zero_point_steps);
}

std::string code_rules() {
  using enum CodeRule;
  return macro("code_", "times_inverse_scale", times_inverse_scale) +
         macro("code_", "times_limit_over_amax", times_limit_over_amax) +
         macro("code_", "times_limit_over_amax_away", times_limit_over_amax_away) +
         macro("code_", "times_inverse_of_scaled", times_inverse_of_scaled) +
         macro("code_", "over_scale_or_zero", over_scale_or_zero) +
         macro("nan_", "plus_limit", NanRule::plus_limit) +
         macro("nan_", "minus_limit", NanRule::minus_limit) +
         macro("swizzle_", "tiles_128x4", ScaleSwizzle::tiles_128x4) +
         macro("swizzle_", "packed_4", ScaleSwizzle::packed_4) +
         macro("scoring_", "softmax", Scoring::softmax);
}

std::string own_words() {
  using enum Refused;
  return macro("refused_", "nothing", nothing) + macro("refused_", "expert", expert) +
         macro("refused_", "local_expert", local_expert) + macro("refused_", "id", id) +
         macro("refused_", "full_expert", full_expert) +
         macro("refused_", "other_count", other_count) +
         macro("operand_", "plain", OperandKind::plain) +
         macro("operand_", "codes", OperandKind::codes) +
         macro("operand_", "rounded", OperandKind::rounded) +
         macro("integer_", "tile", integer_tile);
}

}  // namespace

std::string program_source() { return kernel_text; }

std::string program_options() {
  std::string options = "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt";
  for (const DType dtype : all_dtypes) options += macro("dtype_", name_of(dtype), dtype);
  for (const NumberFormatRow& row : number_format_rows) {
    options += macro("format_", row.name, row.format);
  }
  for (const ActivationRow& row : activation_rows) {
    options += macro("activation_", row.name, row.activation);
  }
  return options + scale_rules() + code_rules() + own_words();
}

}  // namespace moe::xpu
