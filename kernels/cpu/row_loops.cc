// The three tables of loops. Compiled for every processor: only the files that it chooses from have
// an instruction set of their own.

#include "kernels/cpu/row_loops.h"

namespace moe::cpu {

TableChoices<RowLoops> row_loops_choices() {
  return choices_of(row_loops_avx512, row_loops_avx2, row_loops_baseline);
}

const RowLoops& row_loops() { return first_available(row_loops_choices()); }

}  // namespace moe::cpu
