// Which loops this processor can run, the fastest first. Compiled for every processor: only the
// files that it chooses from have an instruction set of their own.

#include "kernels/cpu/row_loops.h"

namespace moe::cpu {

std::array<RowLoopsChoice, 3> row_loops_choices() {
  __builtin_cpu_init();
  return {{{row_loops_avx512, __builtin_cpu_supports("x86-64-v4") > 0},
           {row_loops_avx2, __builtin_cpu_supports("x86-64-v3") > 0},
           {row_loops_baseline, true}}};
}

const RowLoops& row_loops() {
  for (const RowLoopsChoice& choice : row_loops_choices()) {
    if (choice.available) return choice.loops;
  }
  return row_loops_baseline;
}

}  // namespace moe::cpu
