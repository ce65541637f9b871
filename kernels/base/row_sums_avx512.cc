// The sums for AVX-512 (x86-64-v4); CMake gives this file its instruction set.
// Nothing but the body may be compiled here.

#include "kernels/base/row_sums_body.h"

namespace moe {

const RowSums row_sums_avx512 = {"avx512", add_rows_in_order};

}  // namespace moe
