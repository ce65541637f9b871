// What a combined row must be, given what the experts returned and where it came to stand: the
// declared reduction replayed. Internal to golden/capture_*.cc.

#pragma once

#include <vector>

#include "golden/capture_judging.h"

namespace moe::golden {

// One operand of a combine: a row of a rank's expert_output and, where the source rank weights, the
// factor.
struct Term {
  const CapturedRows* rows = nullptr;
  Count row = 0;
  float weight = 1;
  std::size_t place = 0;
  int topk_slot = -1;
};

// How terms are added. The declared way is the default; the others are what a faulty one may do.
struct Reduction {
  bool is_weighted = false;
  bool in_any_order = false;     // judged by a bound beyond two terms that are not zero
  bool is_fused = true;          // product and sum in one rounding
  bool is_reversed = false;      // the last term first
  bool rounds_products = false;  // to the rows' type
  bool rounds_sums = false;      // to the rows' type, after each term
  bool weights_values = false;   // values are weighted before they are weighted: twice
  bool rounds_values = false;    // to the rows' type, once they were
};

struct Sum {
  std::vector<Term> terms;
  Reduction reduction;
  DType wire = DType::bf16;   // of the terms
  DType dtype = DType::bf16;  // of the combined row
};

// The declared reduction of a token; is_whole is false where one of its rows is lost.
struct DeclaredSum {
  Sum sum;
  bool is_whole = true;
};
DeclaredSum declared_sum(const Judging& judging, DueRow token);

// One element: its value and, where the bound is not 0, how far a right one may be from the sum
// in double (no rounding of its own is in that); with the bound 0 it must have the value's bits.
struct SumElement {
  float value = 0;
  double bound = 0;
  double exact = 0;
  double magnitude = 0;             // the sum of absolute terms
  bool has_free_zero_sign = false;  // every term is -0, and nobody says what a sum begins at
};
SumElement element_of(const Sum& sum, Count column);

// Whether a combined row's element is what the sum makes of it.
bool is_right(const SumElement& element, std::uint32_t bits, DType dtype);

// The columns that are not, at most that many.
std::vector<Count> wrong_columns(const Sum& sum, const CapturedRows& combined, Count row,
                                 Count most);

// Names the likely fault of a combined row whose columns are wrong.
struct WrongRow {
  const Judging& judging;
  DueRow token;
  const Sum& sum;
  const std::vector<Count>& columns;
};
void name_combined(const WrongRow& row, CaptureFinding& finding);

}  // namespace moe::golden
