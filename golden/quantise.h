// The judge's own quantisers, by the recipes' names: from the definitions in
// experts-and-oracles.md, 8, and numerics.md, 5, with nothing of the kernels'. Codes are found
// among a format's values, exponents by the mathematics of logarithms. quantise.py is a third.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::golden {

// Round to nearest, ties to even; what is beyond 448 becomes 448, what is not a number 0x7F.
std::uint8_t to_e4m3(float value);

// values [rows, columns] in equal parts that share no scale. given: a scale or global scale for
// each part, where the recipe wants them. group_columns and scale_dtype: of the uint recipes; 0
// columns are all of them.
struct QuantiseOrder {
  Count rows = 0;
  Count columns = 0;
  Count parts = 1;
  std::vector<float> given = {};
  std::optional<float> scale_ub = {};
  bool is_fnuz = false;
  Count group_columns = 128;
  DType scale_dtype = DType::f16;
};

// data: [rows, bytes of a row]; scales: row-major without padding, in the bytes of their type, in
// words for as many as a recipe packs; zero_points as the scales.
struct QuantisedBytes {
  std::vector<std::uint8_t> data;
  std::vector<std::uint8_t> scales;
  std::vector<std::uint8_t> zero_points;
};

// Throws ContractError for a name that is no recipe's.
QuantisedBytes quantise(std::string_view recipe, std::span<const float> values,
                        const QuantiseOrder& order);

// The names that quantise knows.
std::vector<std::string_view> quantise_recipes();

}  // namespace moe::golden
