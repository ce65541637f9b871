// The three tables of sums. Compiled for every processor: only the files that it chooses from have
// an instruction set of their own.

#include "kernels/base/row_sums.h"

namespace moe {

TableChoices<RowSums> row_sums_choices() {
  return choices_of(row_sums_avx512, row_sums_avx2, row_sums_baseline);
}

const RowSums& row_sums() { return first_available(row_sums_choices()); }

}  // namespace moe
