// quantised_outputs WEIGHTS A1 A2 A1_GIVEN A2_GIVEN ACTIVATION ROUNDING: the C++ oracle's outputs
// of a quantised expert of a real world and their bounds, as doubles. quantised_oracles_test.py
// starts it and holds them against golden/real.py. GIVEN: whole numbers of 2^-20; a recipe is -
// where there is none.

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>

#include "golden/real_experts.h"
#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr int expert = 1;
constexpr Count num_rows = 3;

std::string_view recipe_from(std::string_view word) { return word == "-" ? "" : word; }

float given_from(std::string_view word) {
  Count number = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), number);
  MOE_CHECK(end.ec == std::errc() && end.ptr == word.data() + word.size(),
            text("no number: ", word));
  return static_cast<float>(number) * 0x1p-20F;
}

void write_all(const std::vector<double>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  for (std::size_t at = 0; at < bytes.size();) {
    const auto written = write(STDOUT_FILENO, bytes.data() + at, bytes.size() - at);
    MOE_CHECK(written > 0, "standard output is closed");
    at += static_cast<std::size_t>(written);
  }
}

void run(std::span<const std::string_view> words) {
  MOE_CHECK(words.size() == 7, text(words.size(), " words, not 7"));
  const ActivationRounding rounding = words[6] == "once"    ? ActivationRounding::once
                                      : words[6] == "never" ? ActivationRounding::never
                                                            : ActivationRounding::each;
  const auto activation = std::ranges::find(activation_rows, words[5], &ActivationRow::name);
  MOE_CHECK(activation != activation_rows.end(), text("no activation ", words[5]));
  const golden::OracleModel model{.kernel = golden::ExpertKernel::real,
                                  .seed = 9,
                                  .num_experts = 2,
                                  .hidden_size = 160,
                                  .intermediate_size = 96,
                                  .activation = activation->activation,
                                  .has_bias = true,
                                  .quantisation = {.weights = recipe_from(words[0]),
                                                   .a1 = recipe_from(words[1]),
                                                   .a2 = recipe_from(words[2]),
                                                   .a1_given = given_from(words[3]),
                                                   .a2_given = given_from(words[4]),
                                                   .rounding = rounding}};
  std::vector<double> rows;
  for (Count row = 0; row < num_rows; ++row) {
    for (Count column = 0; column < model.hidden_size; ++column) {
      const double near =
          static_cast<double>(centred(mix(model.seed, 1, 0, row, column))) / centred_deviation;
      rows.push_back(static_cast<double>(to_float(to_bfloat16(static_cast<float>(near)))));
    }
  }
  const golden::TensorScale scale{model.quantisation.a1_given, double{model.quantisation.a2_given}};
  const golden::ExpertOutput output = golden::expert_output(
      golden::real_expert(model, 0, expert), model.activation, golden::Parts::whole, {rows, scale});
  write_all(output.values);
  write_all(output.errors);
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  moe::run(words);
}
