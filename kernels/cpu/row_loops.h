// The loops over one row's elements, once per instruction set behind one table: every row of it
// computes the same bytes, only faster. Called by the operators of this folder.

#pragma once

#include "kernels/base/activation.h"
#include "kernels/base/instruction_sets.h"

namespace moe::cpu {

struct RowLoops {
  const char* name;

  // inner [count * w13_rows_each] → out [count], both of that type (activation.h).
  void (*activate)(Activation activation, DType dtype, const void* inner, void* out, Count count);

  // sum[i] += weight * row[i], the product rounded.
  void (*add_weighted)(DType dtype, const void* row, float weight, float* sum, Count count);

  // sum[i] = fma(weight, row[i], sum[i]).
  void (*add_weighted_whole)(DType dtype, const void* row, float weight, float* sum, Count count);

  // out[i] = round(sum[i]).
  void (*round_row)(DType dtype, const float* sum, void* out, Count count);
};

extern const RowLoops row_loops_baseline;
extern const RowLoops row_loops_avx2;
extern const RowLoops row_loops_avx512;

TableChoices<RowLoops> row_loops_choices();

// The first that is available.
const RowLoops& row_loops();

}  // namespace moe::cpu
