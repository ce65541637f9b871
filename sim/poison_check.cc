// The scan of rows for NaN, type by type over the bit patterns.
// Called after the experts and after the layer of every cell.

#include "sim/poison_check.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

bool is_nan(BFloat16 value) { return (value.bits & 0x7FFFU) > 0x7F80U; }
bool is_nan(Float16 value) { return (value.bits & 0x7FFFU) > 0x7C00U; }
bool is_nan(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFU) > 0x7F800000U;
}

template <typename T>
Count nan_column(const T* values, Count columns) {
  bool any = false;
  for (Count h = 0; h < columns; ++h) any |= is_nan(values[h]);
  if (!any) return -1;
  Count column = 0;
  while (!is_nan(values[column])) ++column;
  return column;
}

// Whether an element still has its allocator's pattern.
bool is_untouched(const Tensor& rows, Count row, Count column) {
  const std::uint32_t word = poison_word(rows.dtype);
  return std::memcmp(row_at(rows, row) + column * size_of(rows.dtype), &word,
                     static_cast<std::size_t>(size_of(rows.dtype))) == 0;
}

// Inputs are finite: infinities are sums that were too large for their type.
bool has_infinity(const Tensor& rows, Count row) {
  bool any = false;
  for_row_type(rows.dtype, [&](auto element) {
    const auto* values = reinterpret_cast<const decltype(element)*>(row_at(rows, row));
    for (Count h = 0; h < rows.columns; ++h) any |= std::isinf(to_float(values[h]));
  });
  return any;
}

std::string words_of(const Tensor& rows, Count row, Count column) {
  if (is_untouched(rows, row, column)) return "was never written (poison)";
  if (has_infinity(rows, row)) {
    return "holds NaN beside infinities: numbers too large for their type, or memory that nobody "
           "wrote";
  }
  return "holds NaN, which came from memory that nobody wrote";
}

}  // namespace

Count first_nan(const Tensor& rows, Count row) {
  Count column = -1;
  for_row_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    column = nan_column(reinterpret_cast<const T*>(row_at(rows, row)), rows.columns);
  });
  return column;
}

void check_poison(golden::Cell cell, RowsOf made_by, const Tensor& rows,
                  const std::function<std::string(Count row)>& token_of, CheckLedger& ledger) {
  ledger.looked("POISON");
  const bool is_output = made_by == RowsOf::output;
  const Moment moment = moment_of(cell, is_output ? 1 : 0);
  for (Count row = 0; row < rows.rows; ++row) {
    const Count column = first_nan(rows, row);
    if (column < 0) continue;
    ledger.found("POISON", moment,
                 text(place_text(cell), ", ", is_output ? "output" : "experts", ": row ", row, " (",
                      token_of(row), "), column ", column, " ", words_of(rows, row, column)));
  }
}

}  // namespace moe::sim
