// Sums of rows in a given order, once per instruction set behind one table: every row of it gives
// the same bytes (numerics.md, 3: fp32 accumulator, one rounding). Called by host_memory.cc.

#pragma once

#include <span>

#include "kernels/base/dtype.h"
#include "kernels/base/instruction_sets.h"

namespace moe {

struct RowSums {
  const char* name;

  // out[i] = round(operands[0][i] + operands[1][i] + …), in that order. REQUIRES bf16, f16 or f32,
  // at least one operand, and an out that is none of them but the first.
  void (*add_in_order)(DType dtype, std::span<const void* const> operands, void* out, Count count);
};

extern const RowSums row_sums_baseline;
extern const RowSums row_sums_avx2;
extern const RowSums row_sums_avx512;

TableChoices<RowSums> row_sums_choices();

// The first that is available.
const RowSums& row_sums();

}  // namespace moe
