// The sums for AVX2 (x86-64-v3); CMake gives this file its instruction set.
// Nothing but the body may be compiled here.

#include "kernels/base/row_sums_body.h"

namespace moe {

const RowSums row_sums_avx2 = {"avx2", add_rows_in_order};

}  // namespace moe
