// Quantised numbers as the judge has them: what codes stand for, and how far one more quantising on
// the way, whose input is known only roughly, may move a number (experts-and-oracles.md, 14.2: q).
// Used by real_experts.cc.

#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "golden/quantise.h"

namespace moe::golden {

// What codes and scales stand for, [rows, columns], in double: exact but for a global scale's
// division.
std::vector<double> numbers_of(std::string_view recipe, const QuantisedBytes& bytes,
                               const QuantiseOrder& order);

// quantise, then numbers_of.
std::vector<double> quantised_numbers(std::string_view recipe, std::span<const float> values,
                                      const QuantiseOrder& order);

// Adds to errors [rows, columns] what quantising may add. values and errors: numbers and how far
// what is quantised may be from them. given: the recipe's own, or the largest scale that a whole
// tensor may get of which these are some rows. Throws ContractError for a recipe of weights.
void add_requantisation(std::string_view recipe, double given, Count columns,
                        std::span<const double> values, std::span<double> errors);

}  // namespace moe::golden
