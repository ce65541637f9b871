// Every recipe on a device beside the host: codes, scales, global scales, zero points and padding
// byte for byte, blocks of any bits included; numbers back from codes, of which any that is not a
// number is as good as another.

#include <cmath>

#include "tests/device/both_sides.h"

using namespace moe;

namespace {

// Whole blocks of what goes wrong most easily, and of any bits.
enum class Blocks { numbers, halves, zeros, extremes, any_bits };
constexpr int num_blocks = 5;

double halfway(int seed, Count i) {
  const auto quarters = static_cast<int>(mix(seed, i) % 2049) - 1024;
  return quarters / 4.0;
}

double extreme(int seed, Count i) {
  constexpr std::array<double, 10> values = {0,     -0.0,   INFINITY, -INFINITY, NAN,
                                             1e-40, -3e-39, 3.3e38,   -3.3e38,   1};
  return values[mix(seed, i) % values.size()];
}

Twin rows_of_blocks(BothSides& both, Shape shape, Blocks blocks, int seed) {
  if (blocks == Blocks::numbers) return both.numbers(shape, seed);
  Buffer host(both.host_memory(), shape);
  if (blocks == Blocks::any_bits) {
    auto* bytes = static_cast<std::uint8_t*>(host.tensor().data);
    for (Count i = 0; i < bytes_of(host.tensor()); ++i) {
      bytes[i] = static_cast<std::uint8_t>(mix(seed, i));
    }
    return both.twin(std::move(host));
  }
  std::vector<double> values;
  for (Count i = 0; i < shape.rows * shape.columns; ++i) {
    values.push_back(blocks == Blocks::halves     ? halfway(seed, i)
                     : blocks == Blocks::extremes ? extreme(seed, i)
                     : i % 97 == 96               ? 1e-6
                                                  : 0);
  }
  return both.twin(shape, values);
}

// Layouts that the recipe can have; parts divide 6 rows times something.
std::vector<LayoutChoice> choices_of(const RecipeRow& row) {
  std::vector<LayoutChoice> choices = {{}, {.parts = 3}, {.row_alignment = 4}};
  if (size_of(row.scale_dtype) == 4) {
    choices.push_back({.orientation = ScaleOrientation::column_major, .row_alignment = 4});
  }
  if (size_of(row.scale_dtype) == 1 && row.recipe != QuantRecipe::fp8_block128_ue8m0_packed) {
    choices.push_back({.swizzle = ScaleSwizzle::tiles_128x4});
  }
  if (row.format == NumberFormat::e4m3fn) choices.push_back({.fp8 = Fp8Kind::fnuz});
  if (has_chosen_groups(row)) {
    choices.push_back({.parts = 2, .group_columns = 0, .scale_dtype = DType::f32});
    choices.push_back({.group_columns = 16, .scale_dtype = DType::bf16});
  }
  return choices;
}

struct Quantized {
  Twin rows;
  QuantizedRowsBuffers host;
  QuantizedRowsBuffers device;
};

Quantized quantized(BothSides& both, Twin rows, QuantRecipe recipe, const LayoutChoice& choice,
                    int seed) {
  const ScaleRule rule = recipe_row(recipe).scale_rule;
  const bool takes_scale = rule == ScaleRule::given || rule == ScaleRule::times_global;
  std::vector<double> given;
  for (Count part = 0; part < choice.parts; ++part) {
    given.push_back(std::ldexp(1.3, static_cast<int>(mix(seed, part) % 24) - 12));
  }
  const Twin scale = both.twin({takes_scale ? choice.parts : 0, 1, DType::f32}, given);
  QuantSettings settings{.layout = choice};
  if (recipe == QuantRecipe::fp8_dynamic_token && seed % 2 == 0) settings.scale_ub = 0.75F;
  if (takes_scale) settings.scale = scale.host.tensor();
  QuantizedRowsBuffers host = both.host().quantize(rows.host.tensor(), recipe, settings);
  if (takes_scale) settings.scale = scale.device.tensor();
  QuantizedRowsBuffers device = both.device().quantize(rows.device.tensor(), recipe, settings);
  return {std::move(rows), std::move(host), std::move(device)};
}

// test(both, quantised on both sides, seed) for recipes, layouts, blocks, types and shapes.
void in_every_recipe(const std::function<void(BothSides&, const Quantized&, int)>& test) {
  on_every_device([&](BothSides& both) {
    int seed = 0;
    for (const RecipeRow& row : recipe_rows) {
      if (row.recipe == QuantRecipe::none) continue;
      for (const LayoutChoice& choice : choices_of(row)) {
        for (int blocks = 0; blocks < num_blocks; ++blocks) {
          ++seed;
          const Count count = mix(seed, 1) % 9 == 0 ? 0 : 6 * (1 + mix(seed, 2) % 45);
          const Count columns = 1 + static_cast<Count>(mix(seed, 3) % 300);
          const DType dtype = row_types[mix(seed, 4) % 3];
          INFO(row.name << ", seed " << seed << ", blocks " << blocks << ", " << name_of(dtype)
                        << " [" << count << ", " << columns << "]");
          Twin rows =
              rows_of_blocks(both, {count, columns, dtype}, static_cast<Blocks>(blocks), seed);
          test(both, quantized(both, std::move(rows), row.recipe, choice, seed), seed);
        }
      }
    }
  });
}

// As difference, but any number that is not one equals any other.
std::string number_difference(BothSides& both, const Buffer& host, const Buffer& device) {
  if (both.difference(host, device).empty()) return {};
  const std::vector<double> expected = values_of(host.tensor());
  const std::vector<double> actual = values_of(both.on_host(device.tensor()).tensor());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const bool is_same =
        std::isnan(expected[i])
            ? std::isnan(actual[i])
            : expected[i] == actual[i] && std::signbit(expected[i]) == std::signbit(actual[i]);
    if (!is_same) return text("element ", i, ": ", expected[i], " and ", actual[i]);
  }
  return {};
}

}  // namespace

TEST_CASE("device quantize: every recipe gives the host's bytes, from blocks of any bits") {
  in_every_recipe([](BothSides& both, const Quantized& rows, int) {
    CHECK(both.difference(rows.host, rows.device) == "");
  });
}

TEST_CASE("device quantize: codes become the host's numbers again") {
  in_every_recipe([](BothSides& both, const Quantized& rows, int seed) {
    const DType dtype = row_types[mix(seed, 5) % 3];
    CHECK(number_difference(both, both.host().dequantize(rows.host.view(), dtype),
                            both.device().dequantize(rows.device.view(), dtype)) == "");
  });
}

TEST_CASE("device quantize: scales are laid out anew as the host lays them") {
  in_every_recipe([](BothSides& both, const Quantized& rows, int seed) {
    ScaleLayout to = rows.host.layout.scales;
    if (rows.host.layout.has_zero_points || to.swizzle == ScaleSwizzle::packed_4) return;
    const bool tiles = size_of(to.dtype) == 1 && seed % 2 == 0;
    to.swizzle = tiles ? ScaleSwizzle::tiles_128x4 : ScaleSwizzle::none;
    to.orientation =
        tiles || seed % 3 == 0 ? ScaleOrientation::row_major : ScaleOrientation::column_major;
    to.padded_rows = padded_to(to.rows, tiles ? 128 : 4);
    to.padded_columns = padded_to(to.columns, tiles ? 4 : 1);
    CHECK(both.difference(both.host().relayout_scales(rows.host.view(), to),
                          both.device().relayout_scales(rows.device.view(), to)) == "");
  });
}

TEST_CASE("device quantize: values far beyond a bound that scales keep to are saturated") {
  on_every_device([](BothSides& both) {
    for (const DType dtype : row_types) {
      for (const float bound : {1e-6F, 1.0F, 3e38F}) {
        const Twin rows = rows_of_blocks(both, {8, 96, dtype}, Blocks::extremes, 5);
        QuantSettings settings;
        settings.scale_ub = bound;
        INFO(name_of(dtype) << ", " << bound);
        CHECK(
            both.difference(
                both.host().quantize(rows.host.tensor(), QuantRecipe::fp8_dynamic_token, settings),
                both.device().quantize(rows.device.tensor(), QuantRecipe::fp8_dynamic_token,
                                       settings)) == "");
      }
    }
  });
}

namespace {

// Nine rows whose largest value stands somewhere else in each; a third of the others is -0.
Twin wide_rows(BothSides& both, Count columns) {
  constexpr Count rows = 9;
  std::vector<double> values;
  for (Count i = 0; i < rows * columns; ++i) {
    const Count largest = i / columns * (columns / rows);
    const double value = static_cast<double>(mix(columns, i) % 1000) / 100 - 5;
    values.push_back(i % columns == largest ? 77 : i % 3 == 0 ? -0.0 : value);
  }
  return both.twin({rows, columns, DType::bf16}, values);
}

}  // namespace

TEST_CASE("device quantize: wide rows, the largest value anywhere, and zeros of either sign") {
  on_every_device([](BothSides& both) {
    for (const QuantRecipe recipe : {QuantRecipe::fp8_dynamic_token, QuantRecipe::fp8_block128}) {
      for (const Count columns : {Count{512}, Count{2048}, Count{7168}, Count{16384}}) {
        const Twin rows = wide_rows(both, columns);
        INFO(recipe_row(recipe).name << " of " << columns);
        CHECK(both.difference(both.host().quantize(rows.host.tensor(), recipe),
                              both.device().quantize(rows.device.tensor(), recipe)) == "");
      }
    }
  });
}
