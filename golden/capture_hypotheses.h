// What may have gone wrong with a combined row: sums of other operands, weights or roundings than
// the declared ones, of which one is said only if it makes the damaged row to the bit (within the
// declared bound where a collective added). Internal to golden/capture_combine*.cc.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "golden/capture_combine.h"

namespace moe::golden {

struct Hypothesis {
  CaptureFault fault = CaptureFault::value_changed;
  std::string cause;
  Sum sum;
};

inline const CapturedRows& combined_of(const WrongRow& row) {
  return row.judging.rank(row.token.source).combined;
}

inline bool fits(const WrongRow& row, const Sum& sum) {
  return wrong_columns(sum, combined_of(row), row.token.row, 1).empty();
}

// "rank 1's contribution", "the contribution of rank 1's expert 3 (choice 2, slot 4)"
std::string term_text(const WrongRow& row, const Term& term);

// Contributions that are missing or there twice, weights that were applied never or twice: the
// fewest of one kind that explain the row.
std::optional<Hypothesis> fitting_subset(const WrongRow& row);

// Weights that are other choices' or other tokens'.
std::optional<Hypothesis> fitting_weights(const WrongRow& row);

// The right operands, added or rounded in another way.
std::optional<Hypothesis> fitting_recipe(const WrongRow& row);

// A contribution that another slot of the same place made.
std::optional<Hypothesis> fitting_slot(const WrongRow& row);

// Rows of combined that hold other tokens' sums. changed_places: this row's sum stands in another's
// place, or the two are swapped; any: also those that stand twice or instead of a lost one.
enum class OtherTokens { changed_places, any };
// RETURNS whether the row is one.
bool name_other_token(const WrongRow& row, OtherTokens which, CaptureFinding& finding);

// Of a row that nothing makes: whose sum it holds in all of the wrong columns, or nearly
// everywhere; empty if nobody's.
std::string likeness_text(const WrongRow& row);

}  // namespace moe::golden
