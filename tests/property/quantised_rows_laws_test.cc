// Laws of quantised rows: rows that share no scale can be gathered before or after (I21), tiles of
// scales too (I22), what a format holds survives the way there and back, layouts undo each other.

#include <cmath>
#include <cstring>

#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/kernels.h"
#include "kernels/recipe_arithmetic.h"
#include "tests/catch.h"

using namespace moe;

namespace {

struct Host {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  std::unique_ptr<Kernels> kernels = make_cpu_kernels(*memory);
  const Buffer one = global_scale();

  Buffer global_scale() {
    Buffer scale(*memory, {1, 1, DType::f32});
    elements_of<float>(scale.tensor())[0] = 1;
    return scale;
  }

  QuantizedRowsBuffers quantize(const Tensor& rows, const RecipeRow& recipe,
                                LayoutChoice choice = {}) {
    const bool is_given =
        recipe.scale_rule == ScaleRule::given || recipe.scale_rule == ScaleRule::times_global;
    return kernels->quantize(rows, recipe.recipe,
                             {.scale = is_given ? one.tensor() : Tensor{}, .layout = choice});
  }

  Buffer rows(Count count, Count columns, std::uint64_t seed) {
    Buffer made(*memory, {count, columns, DType::f32});
    const auto values = elements_of<float>(made.tensor());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto row = i / static_cast<std::size_t>(columns);
      values[i] = std::ldexp(static_cast<float>(centred(mix(seed, i))) / 37837.0F,
                             static_cast<int>(mix(seed, row, 1) % 9));
    }
    return made;
  }

  Buffer floats(const std::vector<float>& values, Count columns) {
    Buffer made(*memory, {std::ssize(values) / columns, columns, DType::f32});
    std::ranges::copy(values, elements_of<float>(made.tensor()).begin());
    return made;
  }

  // Some rows twice, some never, none in order.
  Buffer places(Count from, Count count, std::uint64_t seed) {
    Buffer made(*memory, {count, 1, DType::i32});
    const auto at = elements_of<std::int32_t>(made.tensor());
    for (std::size_t i = 0; i < at.size(); ++i) {
      at[i] = static_cast<std::int32_t>(mix(seed, i) % static_cast<std::uint64_t>(from));
    }
    return made;
  }
};

bool same_bytes(const Tensor& a, const Tensor& b) {
  return bytes_of(a) == bytes_of(b) &&
         (bytes_of(a) == 0 ||
          std::memcmp(a.data, b.data, static_cast<std::size_t>(bytes_of(a))) == 0);
}

bool has_tiles(const RecipeRow& recipe) {
  return size_of(recipe.scale_dtype) == 1 &&
         recipe.recipe != QuantRecipe::fp8_block128_ue8m0_packed;
}

// Whether gathering and quantising commute, in data and scales.
bool commutes(Host& host, const RecipeRow& recipe, Count columns, std::uint64_t seed) {
  const Buffer rows = host.rows(9, columns, seed);
  const Buffer places = host.places(9, 5, seed + 1);
  const Buffer gathered = host.kernels->gather_rows(rows.tensor(), places.tensor());
  const QuantizedRowsBuffers first = host.quantize(rows.tensor(), recipe);
  const QuantizedRowsBuffers last = host.quantize(gathered.tensor(), recipe);
  const Buffer data = host.kernels->gather_rows(first.data.tensor(), places.tensor());
  if (!same_bytes(data.tensor(), last.data.tensor())) return false;
  if (!has_scales_by_row(first.layout)) {
    return same_bytes(first.scales.tensor(), last.scales.tensor());
  }
  const Buffer scales = host.kernels->gather_rows(first.scales.tensor(), places.tensor());
  return same_bytes(scales.tensor(), last.scales.tensor());
}

// Every value of a format from the largest down, a largest one first in each group.
std::vector<float> all_values(const RecipeRow& recipe, Count group) {
  const bool has_sixteen = number_format_row(recipe.format).values_per_byte == 2;
  std::vector<float> values;
  const float limit = number_format_row(recipe.format).limit;
  for (int code = 0; code < (has_sixteen ? 16 : 256); ++code) {
    const float value = code_value(recipe.format, static_cast<std::uint8_t>(code), 0);
    const bool fits = std::fabs(value) <= limit || recipe.format == NumberFormat::uint4b8;
    if (!fits || std::isnan(value)) continue;
    if (std::ssize(values) % group == 0) values.push_back(limit);
    values.push_back(value);
  }
  return values;
}

// How many scales from 2^-8 to 2^8 do not bring every value of the format back as it was.
int scales_that_lose(Host& host, const RecipeRow& recipe) {
  const Count group = recipe.group_columns == 0 ? 300 : recipe.group_columns;
  int losing = 0;
  for (int exponent = -8; exponent <= 8; ++exponent) {
    std::vector<float> values = all_values(recipe, group);
    for (float& value : values) {
      value = std::ldexp(value, recipe.scale_rule == ScaleRule::given ? 0 : exponent);
    }
    const Buffer rows = host.floats(values, std::ssize(values));
    const QuantizedRowsBuffers quantized = host.quantize(rows.tensor(), recipe);
    const Buffer back = host.kernels->dequantize(quantized.view(), DType::f32);
    losing += same_bytes(back.tensor(), rows.tensor()) ? 0 : 1;
  }
  return losing;
}

}  // namespace

TEST_CASE("I21: quantised rows gathered are gathered rows quantised, where rows have own scales") {
  Host host;
  for (const RecipeRow& recipe : recipe_rows) {
    if (recipe.recipe == QuantRecipe::none || recipe.granularity == ScaleGranularity::block)
      continue;
    if (recipe.recipe == QuantRecipe::fp8_block128_ue8m0_packed)
      continue;  // its scales do not lie in rows
    INFO(recipe.name);
    const bool shares = recipe.recipe == QuantRecipe::fp8_dynamic_tensor;
    int commuting = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      commuting += commutes(host, recipe, 1 + static_cast<Count>(seed) * 37, seed) ? 1 : 0;
    }
    if (shares) {
      CHECK(commuting < 8);  // a scale of all rows depends on which rows there are
    } else {
      CHECK(commuting == 8);
    }
  }
}

TEST_CASE("I22: tiles of scales after a gather are the gathered rows' tiles") {
  Host host;
  for (const RecipeRow& recipe : recipe_rows) {
    if (!has_tiles(recipe) || recipe.recipe == QuantRecipe::none) continue;
    INFO(recipe.name);
    for (const Count count : {1, 31, 33, 129, 257}) {
      const Buffer rows = host.rows(40, 176, 5);
      const Buffer places = host.places(40, count, 6);
      const QuantizedRowsBuffers first = host.quantize(rows.tensor(), recipe);
      const Buffer gathered = host.kernels->gather_rows(rows.tensor(), places.tensor());
      const auto direct =
          host.quantize(gathered.tensor(), recipe, {.swizzle = ScaleSwizzle::tiles_128x4});
      const Buffer scales = host.kernels->gather_rows(first.scales.tensor(), places.tensor());
      const QuantizedRowsBuffers linear = host.quantize(gathered.tensor(), recipe);
      QuantizedRows taken = linear.view();
      taken.scales = scales.tensor();
      const Buffer tiles = host.kernels->relayout_scales(taken, direct.layout.scales);
      CHECK(same_bytes(tiles.tensor(), direct.scales.tensor()));
    }
  }
}

TEST_CASE("quantised rows: what a format holds comes back as it was, under any power of two") {
  Host host;
  for (const RecipeRow& recipe : recipe_rows) {
    const bool has_own_test = recipe.scale_rule == ScaleRule::zero_point_steps;
    if (recipe.recipe == QuantRecipe::none || has_own_test) continue;
    INFO(recipe.name);
    // The torch fallback maps the largest value to [1, 2): small ones fall out of the format.
    if (recipe.recipe == QuantRecipe::mxfp8_torch) {
      CHECK(scales_that_lose(host, recipe) == 17);
    } else {
      CHECK(scales_that_lose(host, recipe) == 0);
    }
  }
}

TEST_CASE("quantised rows: sixteen steps come back from every zero point") {
  Host host;
  const RecipeRow& recipe = recipe_row(QuantRecipe::int4_zero_point);
  for (int zero = 0; zero < 16; ++zero) {
    for (int exponent = -8; exponent <= 8; ++exponent) {
      std::vector<float> values;
      for (int step = 0; step < 16; ++step) {
        values.push_back(std::ldexp(static_cast<float>(step - zero), exponent));
      }
      const Buffer rows = host.floats(values, 16);
      const QuantizedRowsBuffers quantized = host.quantize(rows.tensor(), recipe);
      CHECK(same_bytes(host.kernels->dequantize(quantized.view(), DType::f32).tensor(),
                       rows.tensor()));
    }
  }
}

TEST_CASE("quantised rows: layouts of scales undo each other, for all small extents") {
  Host host;
  const RecipeRow& recipe = recipe_row(QuantRecipe::mxfp8);
  const RecipeRow& wide = recipe_row(QuantRecipe::fp8_block128);
  for (Count count = 0; count <= 35; ++count) {
    for (Count columns = 1; columns <= 9; ++columns) {
      for (const RecipeRow* row : {&recipe, &wide}) {
        const Buffer rows = host.rows(count, columns * row->group_columns, 7);
        const QuantizedRowsBuffers linear = host.quantize(rows.tensor(), *row);
        const LayoutChoice choice =
            row == &recipe
                ? LayoutChoice{.swizzle = ScaleSwizzle::tiles_128x4}
                : LayoutChoice{.orientation = ScaleOrientation::column_major, .row_alignment = 4};
        const QuantizedRowsBuffers other = host.quantize(rows.tensor(), *row, choice);
        const Buffer back = host.kernels->relayout_scales(other.view(), linear.layout.scales);
        CHECK(same_bytes(back.tensor(), linear.scales.tensor()));
        const Buffer there = host.kernels->relayout_scales(linear.view(), other.layout.scales);
        CHECK(same_bytes(there.tensor(), other.scales.tensor()));
        if (row == &recipe || count % 5 != 0 || count == 0) continue;
        QuantizedRows rooms = linear.view();  // of five rows each
        rooms.layout.scales.orientation = ScaleOrientation::column_major;
        rooms.layout.scales.part_rows = 5;
        const Buffer in_rooms = host.kernels->relayout_scales(linear.view(), rooms.layout.scales);
        rooms.scales = in_rooms.tensor();
        const Buffer home = host.kernels->relayout_scales(rooms, linear.layout.scales);
        CHECK(same_bytes(home.tensor(), linear.scales.tensor()));
        CHECK(same_bytes(host.kernels->dequantize(rooms, DType::f32).tensor(),
                         host.kernels->dequantize(linear.view(), DType::f32).tensor()));
      }
    }
  }
}
