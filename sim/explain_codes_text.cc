// Codes and scales as text: what numbers were, their codes, what codes stand for alone and with
// their scales. Part of the fourth step of a token's way (explain_token_text.cc).

#include <algorithm>
#include <cmath>

#include "kernels/base/text.h"
#include "sim/explanation.h"
#include "sim/text_layout.h"

namespace moe::sim {
namespace {

std::string shared_by(const RecipeRow& recipe) {
  switch (recipe.granularity) {
    case ScaleGranularity::per_tensor:
      return "one scale for all of them";
    case ScaleGranularity::per_token:
    case ScaleGranularity::per_channel:
      return "a scale for each row";
    case ScaleGranularity::block:
      return text("a scale for ", recipe.group_rows, " x ", recipe.group_columns, " of them");
    default:
      return text("a scale per ", recipe.group_columns, " columns");
  }
}

std::string code_text(int code) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto at = [&](int digit) {
    return std::string(1, digits[static_cast<std::size_t>(digit)]);
  };
  return text("0x", code > 15 ? at(code / 16) : "", at(code % 16));
}

// The columns' codes, under a row of numbers (explained_row_text).
std::string codes_row(const std::vector<int>& codes) {
  std::vector<std::string> words;
  for (const int code : codes) words.push_back(code_text(code));
  return explained_words_text("  codes", words);
}

// Scales have more digits than a column is wide.
std::vector<double> in_four_digits(std::vector<double> values) {
  for (double& value : values) {
    if (value == 0) continue;
    const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3);
    value = std::round(value / unit) * unit;
  }
  return values;
}

std::string table(const std::string& name, const ExplainedCodes& codes) {
  std::vector<double> alone;
  for (std::size_t i = 0; i < codes.numbers.size(); ++i) {
    alone.push_back(codes.scales[i] == 0 ? 0 : codes.numbers[i] / codes.scales[i]);
  }
  return text(explained_row_text(name, codes.values), codes_row(codes.codes),
              explained_row_text("  their numbers", alone),
              explained_row_text("  their scales", in_four_digits(codes.scales)),
              explained_row_text(text("  number x scale: ", name, " from now on"), codes.numbers));
}

std::string recipe_text(QuantRecipe recipe) {
  const RecipeRow& row = recipe_row(recipe);
  return text(row.name, ": ", number_format_row(row.format).name, ", ", shared_by(row));
}

}  // namespace

std::string quantising_text(const ExplainedWorld& world, const ExplainedQuantising& told) {
  std::string out;
  if (told.row.recipe != QuantRecipe::none) {
    out += text("   The row comes to expert ", told.expert, " as codes (",
                recipe_text(told.row.recipe), "):\n", table("x", told.row));
  }
  if (told.weights.recipe != QuantRecipe::none) {
    const std::string whose =
        out.empty() ? text("Expert ", told.expert, "'s weights are codes") : "So are its weights";
    out += text("   ", whose, ", here of W2 (", recipe_text(told.weights.recipe), "):\n",
                table("w", told.weights));
  }
  if (told.between.recipe != QuantRecipe::none) {
    out += text("   Between its two products what stands there, a, becomes codes once more (",
                recipe_row(told.between.recipe).name, "):\n", table("a", told.between));
  }
  if (out.empty()) return out;
  return text(out, "   The experts' rows, with all that (the oracle's numbers):\n",
              world.scenario.values == Values::real
                  ? ""
                  : "   (this exact world's numbers survive their codes)\n");
}

}  // namespace moe::sim
