// The loops for AVX-512 (F, BW, CD, DQ, VL); CMake gives this file its instruction set.
// Nothing but the body may be compiled here.

#include "kernels/cpu/row_loops_body.h"

namespace moe::cpu {

const RowLoops row_loops_avx512 = {"avx512", activate_row, add_weighted_row, add_weighted_whole_row,
                                   round_sums};

}  // namespace moe::cpu
