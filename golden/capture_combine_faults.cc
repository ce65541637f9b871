// What went wrong with a combined row: explanations are tried against the data, and one that does
// not make the row is not said.

#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/capture_hypotheses.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr Count named_max = 60;  // findings, before hypotheses are no more tried

// Rows that hold no sum at all. RETURNS whether it is one.
bool name_unwritten(const WrongRow& row, CaptureFinding& finding) {
  const CapturedRows& combined = combined_of(row);
  const std::vector<float> values = floats_of(combined, row.token.row);
  const CapturedRows& hidden = row.judging.rank(row.token.source).hidden_states;
  std::string cause;
  if (std::ranges::all_of(values, [](float value) { return std::isnan(value); })) {
    cause = "every element is NaN: the row was never written";
  } else if (std::ranges::all_of(values, [](float value) { return value == 0; })) {
    cause = "every element is zero: no contribution came home, or the row was never written";
  } else if (key_of(combined.row(row.token.row)) == key_of(hidden.row(row.token.row))) {
    cause = "the row is its own hidden state: nothing was written over it";
  }
  if (cause.empty()) return false;
  finding.fault = CaptureFault::row_unwritten;
  finding.cause = cause;
  return true;
}

std::string few_text(const WrongRow& row) {
  const CapturedRows& combined = combined_of(row);
  int bits = 0;
  for (const Count column : row.columns) {
    const std::uint32_t expected = rounded_bits(element_of(row.sum, column).value, row.sum.dtype);
    bits += std::popcount(bits_at(combined, row.token.row, column) ^ expected);
  }
  if (row.columns.size() == 1) return text("one element, ", bits, bits == 1 ? " bit" : " bits");
  return text(row.columns.size(), " of ", combined.columns, " elements, columns ",
              row.columns.front(), " to ", row.columns.back());
}

// The constant between the row and its sum; 0 if there is none. A sum whose weights were scaled is
// rounded elsewhere in fp32, and where no order is promised the bound says how far it may be.
float factor_of(const WrongRow& row) {
  const CapturedRows& combined = combined_of(row);
  std::vector<Range> arrived;
  std::vector<Range> due;
  for (Count column = 0; column < combined.columns; ++column) {
    arrived.push_back(rounding_range(bits_at(combined, row.token.row, column), combined.dtype));
    const SumElement element = element_of(row.sum, column);
    const double value = static_cast<double>(element.value);
    const double slack =
        element.bound + 0x1p-23 * static_cast<double>(row.sum.terms.size()) * element.magnitude;
    due.push_back({value - slack, value + slack});
  }
  return common_factor(arrived, due);
}

// How far the row is from its sum at most, in words.
std::string deviation_text(const WrongRow& row) {
  double largest = -1;
  Count at = row.columns.front();
  Count num_not_numbers = 0;
  for (const Count column : row.columns) {
    const DType dtype = row.sum.dtype;
    const float actual = float_of(bits_at(combined_of(row), row.token.row, column), dtype);
    const float due = float_of(rounded_bits(element_of(row.sum, column).value, dtype), dtype);
    const double distance = std::fabs(static_cast<double>(actual) - static_cast<double>(due));
    num_not_numbers += static_cast<Count>(!std::isfinite(distance));
    if (!std::isfinite(distance) || distance <= largest) continue;
    largest = distance;
    at = column;
  }
  const std::string not_numbers =
      num_not_numbers == 0 ? "" : text("; ", num_not_numbers, " elements are no numbers");
  if (largest < 0) return not_numbers;
  return text("; the largest deviation is ", static_cast<float>(largest), ", in column ", at,
              not_numbers);
}

// The first explanation that makes the row. RETURNS whether there is one.
bool name_hypothesis(const WrongRow& row, CaptureFinding& finding) {
  for (const auto fitting : {fitting_subset, fitting_weights, fitting_recipe, fitting_slot}) {
    const std::optional<Hypothesis> found = fitting(row);
    if (!found) continue;
    finding.fault = found->fault;
    finding.cause = found->cause;
    return true;
  }
  return false;
}

}  // namespace

void name_combined(const WrongRow& row, CaptureFinding& finding) {
  finding.fault = CaptureFault::value_changed;
  finding.cause = few_text(row);
  if (row.columns.size() == 1 && combined_of(row).columns > 1) return;
  if (std::ssize(row.judging.result.findings) > named_max) {
    finding.cause += "; too many findings to look for a fault";
    return;
  }
  if (name_other_token(row, OtherTokens::changed_places, finding)) return;
  if (name_unwritten(row, finding)) return;
  if (name_other_token(row, OtherTokens::any, finding)) return;
  if (name_hypothesis(row, finding)) return;
  if (const float factor = factor_of(row)) {
    finding.fault = CaptureFault::row_scaled;
    finding.cause += text("; the row times ", factor);
    return;
  }
  finding.cause +=
      text("; none of the known faults explains it", likeness_text(row), deviation_text(row));
}

}  // namespace moe::golden
