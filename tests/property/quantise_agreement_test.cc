// The kernels' quantisers and the judge's, which share no code, give the same bytes: for every bf16
// number as a block of its own and beside a fixed maximum, and for hostile blocks.
// golden/quantise.py is held against both by tests/process/quantise_test.py.

#include <bit>
#include <cmath>
#include <limits>

#include "golden/quantise.h"
#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "kernels/kernels.h"
#include "tests/catch.h"

using namespace moe;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

struct Domain {
  std::vector<float> values;
  Count rows;
  Count columns;
};

bool is_given(const RecipeRow& recipe) {
  return recipe.scale_rule == ScaleRule::given || recipe.scale_rule == ScaleRule::times_global;
}

// Each row is a part where a recipe would have one scale for all of them.
Count parts_of(const RecipeRow& recipe, const Domain& domain) {
  return recipe.granularity == ScaleGranularity::per_tensor ||
                 recipe.granularity == ScaleGranularity::block
             ? domain.rows
             : 1;
}

std::string place_text(const Domain& domain, Count row, std::string_view what) {
  const auto begin = domain.values.begin() + row * domain.columns;
  const std::vector<float> values(begin, begin + std::min<Count>(domain.columns, 40));
  return text(what, " of row ", row, ": ", joined(values));
}

// The first row whose bytes differ, in words; empty if none does.
std::string first_difference(const Domain& domain, const Tensor& ours,
                             const std::vector<std::uint8_t>& theirs, std::string_view what) {
  const auto* bytes = static_cast<const std::uint8_t*>(ours.data);
  if (bytes_of(ours) != std::ssize(theirs)) {
    return text(what, ": ", bytes_of(ours), " bytes, the judge has ", theirs.size());
  }
  for (Count i = 0; i < bytes_of(ours); ++i) {
    const std::uint8_t due = theirs[static_cast<std::size_t>(i)];
    if (bytes[i] == due) continue;
    const Count row = i / row_bytes(ours) * domain.rows / std::max<Count>(ours.rows, 1);
    return text(place_text(domain, row, what), ": byte ", i, " is ", int{bytes[i]},
                ", the judge's ", int{due});
  }
  return "";
}

// What differs between the kernels' bytes and the judge's.
std::string difference(const RecipeRow& recipe, const Domain& domain, float given,
                       LayoutChoice choice = {}) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  choice.parts = parts_of(recipe, domain);
  golden::QuantiseOrder order{.rows = domain.rows,
                              .columns = domain.columns,
                              .parts = choice.parts,
                              .is_fnuz = choice.fp8 == Fp8Kind::fnuz,
                              .group_columns = choice.group_columns.value_or(128),
                              .scale_dtype = choice.scale_dtype.value_or(DType::f16)};
  QuantSettings settings{.layout = choice};
  for (Count part = 0; is_given(recipe) && part < choice.parts; ++part) {
    order.given.push_back(given * static_cast<float>(1 + part % 3));
  }
  const Tensor scale{order.given.data(), choice.parts, 1, DType::f32, {}};
  if (is_given(recipe)) settings.scale = scale;
  auto values = domain.values;
  const Tensor rows{values.data(), domain.rows, domain.columns, DType::f32, {}};
  const QuantizedRowsBuffers ours = kernels->quantize(rows, recipe.recipe, settings);
  // The judge's scales have no padding.
  ScaleLayout plain = ours.layout.scales;
  plain.swizzle = ScaleSwizzle::none;
  plain.padded_rows = plain.rows;
  plain.padded_columns = plain.columns;
  Buffer scales;
  if (plain.columns > 0 && !ours.layout.has_zero_points) {
    scales = kernels->relayout_scales(ours.view(), plain);
  }
  const Tensor& our_scales = ours.layout.has_zero_points ? ours.scales.tensor() : scales.tensor();
  const golden::QuantisedBytes theirs = golden::quantise(recipe.name, domain.values, order);
  std::string found = first_difference(domain, our_scales, theirs.scales, "scales");
  if (found.empty()) found = first_difference(domain, ours.data.tensor(), theirs.data, "codes");
  if (found.empty() && ours.layout.has_zero_points) {
    found = first_difference(domain, ours.zero_points.tensor(), theirs.zero_points, "zero points");
  }
  return found.empty() ? found : text(recipe.name, ": ", found);
}

float bf16(std::uint32_t bits) { return to_float(BFloat16{static_cast<std::uint16_t>(bits)}); }

Domain every_bf16_alone() {
  Domain domain{{}, 65536, 1};
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) domain.values.push_back(bf16(bits));
  return domain;
}

Domain every_bf16_beside(float most) {
  Domain domain{{}, 65536, 2};
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    domain.values.push_back(bf16(bits));
    domain.values.push_back(most);
  }
  return domain;
}

// Rows of 300 columns, so that the last group of every recipe is short.
Domain hostile_blocks() {
  Domain domain{{}, 0, 300};
  const auto add = [&](auto value_at) {
    ++domain.rows;
    for (int column = 0; column < 300; ++column) domain.values.push_back(value_at(column));
  };
  for (const float zero : {0.0F, -0.0F}) add([=](int) { return zero; });
  for (const float odd : {nan_value, infinity, -infinity}) {
    add([=](int) { return odd; });
    add([=](int column) { return column % 16 == 3 ? odd : static_cast<float>(column % 7 - 3); });
  }
  for (const float tiny : {0x1p-149F, 0x1.8p-127F, 0x1p-126F, 0x1.fffffep-127F, 1e-10F}) {
    add([=](int column) { return tiny * static_cast<float>(column % 5 - 2); });
  }
  for (const float limit : {448.0F, 224.0F, 127.0F, 6.0F, 7.0F, 1.75F, 0x1p127F}) {
    for (const float most : {std::nextafter(limit, 0.0F), limit, std::nextafter(limit, infinity)}) {
      // The maximum last in its group, and ties of every format when the scale is a power of two.
      add([=](int column) {
        return column % 16 == 15 ? -most : limit * static_cast<float>(column - 150) / 128.0F;
      });
    }
  }
  for (int scale = -40; scale <= 40; scale += 5) {
    add([=](int column) { return std::ldexp(static_cast<float>(std::sin(column * 1.7)), scale); });
  }
  return domain;
}

std::vector<std::string> differences(const std::vector<Domain>& domains, float given) {
  std::vector<std::string> found;
  for (const RecipeRow& recipe : recipe_rows) {
    if (recipe.recipe == QuantRecipe::none) continue;
    for (const Domain& domain : domains) {
      const std::string difference_here = difference(recipe, domain, given);
      if (!difference_here.empty()) found.push_back(difference_here);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("quantise: kernels and judge agree on every bf16 number as a block of its own") {
  const std::vector<std::string> none;
  CHECK(differences({every_bf16_alone()}, 0.37F) == none);
  CHECK(differences({every_bf16_alone()}, 840) == none);
}

TEST_CASE("quantise: kernels and judge agree on every bf16 number beside a fixed maximum") {
  const std::vector<std::string> none;
  for (const float most : {448.0F, 3.3125F, 6.0F, 127.0F}) {
    CHECK(differences({every_bf16_beside(most)}, 2688.0F / most) == none);
  }
}

TEST_CASE("quantise: kernels and judge agree on hostile blocks, the last of a row short") {
  const std::vector<std::string> none;
  for (const float given : {1.0F, 0.0F, 0x1p-140F, 3e38F, nan_value, 5.6F}) {
    CHECK(differences({hostile_blocks()}, given) == none);
  }
}

TEST_CASE("quantise: kernels and judge agree on ROCm's e4m3, on groups and on types of scales") {
  const std::vector<Domain> domains = {every_bf16_alone(), every_bf16_beside(3.3125F),
                                       hostile_blocks()};
  std::vector<std::string> found;
  const auto compare = [&](const RecipeRow& recipe, const LayoutChoice& choice) {
    for (const Domain& domain : domains) {
      const std::string here = difference(recipe, domain, 0.37F, choice);
      if (!here.empty()) found.push_back(here);
    }
  };
  for (const RecipeRow& recipe : recipe_rows) {
    const bool is_mx = recipe.group_columns == 32;
    if (recipe.format == NumberFormat::e4m3fn && !is_mx) compare(recipe, {.fp8 = Fp8Kind::fnuz});
    if (!has_chosen_groups(recipe)) continue;
    for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
      for (const Count group : {0, 5, 32}) {
        compare(recipe, {.group_columns = group, .scale_dtype = dtype});
      }
    }
  }
  CHECK(found == std::vector<std::string>{});
}

TEST_CASE("quantise: the judge and the kernels know the same recipes") {
  std::vector<std::string_view> names;
  for (const RecipeRow& recipe : recipe_rows) names.push_back(recipe.name);
  names.erase(names.begin());
  CHECK(golden::quantise_recipes() == names);
  CHECK_THROWS_WITH(golden::quantise("fp8", {}, {}), Catch::Contains("known: fp8_static_tensor"));
  CHECK_THROWS_WITH(golden::quantise("nvfp4", {}, {.parts = 2, .given = {1}}),
                    Catch::Contains("1 given scales for 2 parts"));
}
