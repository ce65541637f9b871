// POISON: rows that must hold numbers hold no NaN, and nobody wrote outside a buffer.
// Exact and real worlds have finite inputs, so a NaN is memory that nobody wrote, or its offspring.

#pragma once

#include <functional>

#include "kernels/base/buffer.h"
#include "sim/check_ledger.h"

namespace moe::sim {

// Who made the rows: the experts, or the whole layer.
enum class RowsOf { experts, output };

// token_of names the token of a row.
void check_poison(golden::Cell cell, RowsOf made_by, const Tensor& rows,
                  const std::function<std::string(Count row)>& token_of, CheckLedger& ledger);

// The first column of each row that is a NaN; -1 if none is. Host memory.
Count first_nan(const Tensor& rows, Count row);

}  // namespace moe::sim
