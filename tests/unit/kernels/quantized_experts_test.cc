// Experts with quantised weights where every step is exact: whole numbers under scales that are
// powers of two, so that a wrong scale, part, nibble or order changes a result. Real numbers are
// judged by bounds in tests/property/quantised_experts_test.cc.

#include <cmath>

#include "kernels/base/text.h"
#include "kernels/kernels.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

namespace {

constexpr Count hidden = 160;  // a whole group of 128 and a short one
constexpr Count intermediate = 32;
constexpr Count num_experts = 2;
constexpr Count num_rows = 5;

// A pair of recipes, and the numbers that both hold exactly, the largest one planted: it makes the
// scale a power of two.
struct Scheme {
  QuantRecipe weights;
  QuantRecipe activations;
  double weights_most;
  double rows_most;
};

const std::vector<Scheme> schemes = {
    {QuantRecipe::fp8_dynamic_tensor, QuantRecipe::fp8_static_tensor, 448, 448},
    {QuantRecipe::fp8_channel, QuantRecipe::fp8_dynamic_token, 448, 448},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128, 448, 448},
    {QuantRecipe::fp8_block128x128, QuantRecipe::fp8_block128_ue8m0, 448, 448},
    {QuantRecipe::fp8_block128x128, QuantRecipe::none, 448, 8},
    {QuantRecipe::int8_channel, QuantRecipe::int8_dynamic_token, 127, 127},
    {QuantRecipe::int8_channel, QuantRecipe::none, 127, 8},
    {QuantRecipe::int4_uint4b8, QuantRecipe::none, 7, 8},
    {QuantRecipe::int4_zero_point, QuantRecipe::none, 11, 8},
    {QuantRecipe::nvfp4, QuantRecipe::nvfp4, 6, 6},
    {QuantRecipe::mxfp4_even, QuantRecipe::mxfp4_even, 6, 6},
    {QuantRecipe::mxfp4_ocp, QuantRecipe::none, 6, 8},
    {QuantRecipe::mxfp8, QuantRecipe::mxfp8, 448, 448},
};

// Whole numbers from `least` to least + 3 with the largest in every group of 16 columns, times a
// power of two that differs from scale to scale.
std::vector<double> planted(Count rows, Count columns, double most, const RecipeRow& recipe) {
  const double least = recipe.scale_rule == ScaleRule::zero_point_steps ? -4 : 0;
  const Count group = has_chosen_groups(recipe)   ? 16
                      : recipe.group_columns == 0 ? columns
                                                  : recipe.group_columns;
  const bool has_own_scales = recipe.group_rows == 1;
  std::vector<double> values;
  for (Count row = 0; row < rows; ++row) {
    for (Count column = 0; column < columns; ++column) {
      const double small = least + static_cast<double>((row * 7 + column * 5) % 4);
      const double value = column % 16 == row % 16 ? most : small;
      const Count scale = has_own_scales ? row + column / group * 2 : column / group * 2;
      const bool is_scaled = has_own_scales || recipe.granularity == ScaleGranularity::block;
      values.push_back(std::ldexp(value, is_scaled ? static_cast<int>(scale % 3) - 1 : 0));
    }
  }
  return values;
}

struct Experts {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  std::unique_ptr<Kernels> kernels = make_cpu_kernels(*memory);
  std::vector<double> w13;
  std::vector<double> w2;
  std::vector<double> rows;
  std::unique_ptr<QuantizedGemmExperts> made;

  Buffer scales(Count count, double value) {
    return rows_with(*memory, {count, 1, DType::f32},
                     std::vector<double>(static_cast<std::size_t>(count), value));
  }

  bool is_given(QuantRecipe recipe) {
    return recipe == QuantRecipe::nvfp4 || recipe == QuantRecipe::fp8_static_tensor;
  }

  QuantizedRowsBuffers weights(QuantRecipe recipe, Shape shape, const std::vector<double>& values) {
    const Buffer plain = rows_with(*memory, shape, values);
    const Buffer scale = is_given(recipe) ? scales(num_experts, 2) : Buffer();
    LayoutChoice choice{.parts = num_experts};
    if (has_chosen_groups(recipe_row(recipe))) choice.group_columns = 16;
    return kernels->quantize(plain.tensor(), recipe, {.scale = scale.tensor(), .layout = choice});
  }

  ActivationQuantization a1(QuantRecipe recipe) {
    return {.recipe = recipe, .scale = is_given(recipe) ? scales(1, 4) : Buffer()};
  }
  ActivationQuantization a2(QuantRecipe recipe) {
    return {.recipe = recipe, .scale = is_given(recipe) ? scales(1, 8) : Buffer()};
  }

  explicit Experts(const Scheme& scheme) {
    const RecipeRow& weight = recipe_row(scheme.weights);
    w13 = planted(num_experts * intermediate, hidden, scheme.weights_most, weight);
    w2 = planted(num_experts * hidden, intermediate, scheme.weights_most, weight);
    rows = planted(num_rows, hidden, scheme.rows_most, recipe_row(scheme.activations));
    made = kernels->quantized_experts(
        {.w13 = weights(scheme.weights, {num_experts * intermediate, hidden, DType::f32}, w13),
         .w2 = weights(scheme.weights, {num_experts * hidden, intermediate, DType::f32}, w2),
         .activation = Activation::relu2_no_mul,
         .row_type = DType::f32,
         .a1 = a1(scheme.activations),
         .a2 = a2(scheme.activations)},
        num_experts);
  }

  // Rows 0 to 1 are expert 0's, the others expert 1's.
  std::vector<double> outputs() {
    const Buffer given = rows_with(*memory, {num_rows, hidden, DType::f32}, rows);
    const Buffer first = rows_with(*memory, {3, 1, DType::i32}, {0, 2, num_rows});
    return values_of(made->apply(given.tensor(), first.tensor()).tensor());
  }
};

// weights [n, k] of an expert times a row.
std::vector<double> times(const std::vector<double>& weights, Count first, Count n,
                          const std::vector<double>& row) {
  std::vector<double> out;
  for (Count i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < row.size(); ++k) {
      sum += weights[static_cast<std::size_t>(first + i) * row.size() + k] * row[k];
    }
    out.push_back(sum);
  }
  return out;
}

// The activation of each row, exactly.
std::vector<double> activated(const Experts& experts, Count row) {
  const auto begin = experts.rows.begin() + row * hidden;
  std::vector<double> inner =
      times(experts.w13, row < 2 ? 0 : intermediate, intermediate, {begin, begin + hidden});
  for (double& value : inner) value = std::max(value, 0.0) * std::max(value, 0.0);
  return inner;
}

}  // namespace

TEST_CASE("quantized_experts: both products are right to a float's last bits, in every scheme") {
  for (const Scheme& scheme : schemes) {
    INFO(recipe_row(scheme.weights).name << " x " << recipe_row(scheme.activations).name);
    Experts experts(scheme);
    const std::vector<double> outputs = experts.outputs();
    for (Count row = 0; row < num_rows; ++row) {
      std::vector<double> inner = activated(experts, row);
      if (scheme.activations != QuantRecipe::none) {
        const Buffer plain = rows_with(*experts.memory, {1, intermediate, DType::f32}, inner);
        const ActivationQuantization a2 = experts.a2(scheme.activations);
        const auto requantized = experts.kernels->quantize(plain.tensor(), scheme.activations,
                                                           {.scale = a2.scale.tensor()});
        inner = values_of(experts.kernels->dequantize(requantized.view(), DType::f32).tensor());
      }
      const std::vector<double> expected = times(experts.w2, row < 2 ? 0 : hidden, hidden, inner);
      for (Count h = 0; h < hidden; ++h) {
        CHECK(outputs[static_cast<std::size_t>(row * hidden + h)] ==
              Approx(expected[static_cast<std::size_t>(h)]).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("quantized_experts: rows that came quantised give what plain rows give") {
  for (const Scheme& scheme : schemes) {
    if (scheme.activations == QuantRecipe::none) continue;
    INFO(recipe_row(scheme.activations).name);
    Experts experts(scheme);
    const Buffer plain = rows_with(*experts.memory, {num_rows, hidden, DType::f32}, experts.rows);
    const Buffer first = rows_with(*experts.memory, {3, 1, DType::i32}, {0, 2, num_rows});
    const ActivationQuantization a1 = experts.a1(scheme.activations);
    const auto quantized =
        experts.kernels->quantize(plain.tensor(), scheme.activations, {.scale = a1.scale.tensor()});
    const Buffer out = experts.made->apply_quantized(quantized.view(), first.tensor());
    CHECK(values_of(out.tensor()) == experts.outputs());
    const auto other = experts.kernels->quantize(plain.tensor(), QuantRecipe::fp8_channel);
    CHECK_THROWS_AS(experts.made->apply_quantized(other.view(), first.tensor()), ContractError);
  }
}

TEST_CASE("quantized_experts: biases are added after the scales, of each expert its own") {
  Experts experts(schemes[2]);
  const std::vector<double> without = experts.outputs();
  std::vector<double> bias;
  for (Count i = 0; i < num_experts * hidden; ++i) bias.push_back(static_cast<double>(i) * 1024);
  const Shape w13_shape{num_experts * intermediate, hidden, DType::f32};
  const Shape w2_shape{num_experts * hidden, intermediate, DType::f32};
  experts.made = experts.kernels->quantized_experts(
      {.w13 = experts.weights(schemes[2].weights, w13_shape, experts.w13),
       .w2 = experts.weights(schemes[2].weights, w2_shape, experts.w2),
       .w2_bias = rows_with(*experts.memory, {num_experts, hidden, DType::f32}, bias),
       .activation = Activation::relu2_no_mul,
       .row_type = DType::f32,
       .a1 = experts.a1(schemes[2].activations),
       .a2 = experts.a2(schemes[2].activations)},
      num_experts);
  const std::vector<double> with = experts.outputs();
  for (std::size_t i = 0; i < with.size(); ++i) {
    const std::size_t expert = i / static_cast<std::size_t>(2 * hidden) == 0 ? 0 : 1;
    const double own = bias[expert * hidden + i % hidden];
    CHECK(with[i] == static_cast<double>(static_cast<float>(without[i]) + static_cast<float>(own)));
  }
}

TEST_CASE("quantized_experts: what does not fit together is refused") {
  Experts experts(schemes[2]);
  const Shape w13_shape{num_experts * intermediate, hidden, DType::f32};
  const Shape w2_shape{num_experts * hidden, intermediate, DType::f32};
  const auto make = [&](QuantRecipe a1, QuantRecipe a2, Activation activation) {
    return experts.kernels->quantized_experts(
        {.w13 = experts.weights(schemes[2].weights, w13_shape, experts.w13),
         .w2 = experts.weights(schemes[2].weights, w2_shape, experts.w2),
         .activation = activation,
         .row_type = DType::f32,
         .a1 = {.recipe = a1},
         .a2 = {.recipe = a2}},
        num_experts);
  };
  constexpr QuantRecipe none = QuantRecipe::none;
  constexpr QuantRecipe block = QuantRecipe::fp8_block128;
  CHECK(make(block, block, Activation::relu2_no_mul) != nullptr);
  CHECK_THROWS_WITH(make(block, none, Activation::relu2_no_mul), Catch::Contains("both"));
  CHECK_THROWS_WITH(make(block, block, Activation::silu), Catch::Contains("activation silu"));
  CHECK_THROWS_WITH(make(QuantRecipe::fp8_channel, block, Activation::relu2_no_mul),
                    Catch::Contains("a1 quantised by fp8_channel"));
  CHECK_THROWS_WITH(make(QuantRecipe::nvfp4, block, Activation::relu2_no_mul),
                    Catch::Contains("needs scales"));
  const auto plain = make(none, none, Activation::relu2_no_mul);
  const Buffer rows = rows_with(*experts.memory, {num_rows, hidden, DType::f32}, experts.rows);
  const Buffer first = rows_with(*experts.memory, {3, 1, DType::i32}, {0, 2, num_rows});
  const auto quantized = experts.kernels->quantize(rows.tensor(), block);
  CHECK_THROWS_WITH(plain->apply_quantized(quantized.view(), first.tensor()),
                    Catch::Contains("experts of plain rows"));
  const Buffer wide = experts.kernels->resize_columns(rows.tensor(), hidden + 1);
  CHECK_THROWS_WITH(plain->apply(wide.tensor(), first.tensor()), Catch::Contains("for w13"));
  const Buffer narrow(*experts.memory, {num_rows, hidden, DType::bf16});
  CHECK_THROWS_WITH(plain->apply(narrow.tensor(), first.tensor()), Catch::Contains("row type f32"));
}

TEST_CASE("quantized_experts: weights of 16-bit groups are rounded to the rows' type before") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto weights = [&](Shape shape, const std::vector<double>& values) {
    const Buffer plain = rows_with(*memory, shape, values);
    return kernels->quantize(plain.tensor(), QuantRecipe::int4_uint4b8,
                             {.layout = {.group_columns = 1}});
  };
  // 7 · (1 + 2^-10) is 7 in bf16: 128 · 7 - 127 · 7 = 7, and 7.875 if it were not rounded.
  const auto experts =
      kernels->quantized_experts({.w13 = weights({1, 2, DType::f32}, {7 * (1 + 0x1p-10), 7}),
                                  .w2 = weights({2, 1, DType::f32}, {7, 0}),
                                  .activation = Activation::relu2_no_mul},
                                 1);
  const Buffer rows = rows_with(*memory, {1, 2, DType::bf16}, {128, -127});
  const Buffer first = rows_with(*memory, {2, 1, DType::i32}, {0, 1});
  CHECK(values_of(experts->apply(rows.tensor(), first.tensor()).tensor()) ==
        std::vector<double>{344, 0});  // 7 · 49, rounded
}
