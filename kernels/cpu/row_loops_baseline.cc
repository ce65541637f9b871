// The loops for what every processor of this family has; CMake gives this file its instruction set.
// Nothing but the body may be compiled here.

#include "kernels/cpu/row_loops_body.h"

namespace moe::cpu {

const RowLoops row_loops_baseline = {"baseline", activate_row, add_weighted_row,
                                     add_weighted_whole_row, round_sums};

}  // namespace moe::cpu
