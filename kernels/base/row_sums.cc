// Which sums this processor can run, the fastest first. Compiled for every processor: only the
// files that it chooses from have an instruction set of their own.

#include "kernels/base/row_sums.h"

namespace moe {

std::array<RowSumsChoice, 3> row_sums_choices() {
  __builtin_cpu_init();
  return {{{row_sums_avx512, __builtin_cpu_supports("x86-64-v4") > 0},
           {row_sums_avx2, __builtin_cpu_supports("x86-64-v3") > 0},
           {row_sums_baseline, true}}};
}

const RowSums& row_sums() {
  for (const RowSumsChoice& choice : row_sums_choices()) {
    if (choice.available) return choice.sums;
  }
  return row_sums_baseline;
}

}  // namespace moe
