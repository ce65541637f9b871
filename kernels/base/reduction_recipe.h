// ReductionRecipe: what a combine adds, in which order, with which accumulator and roundings
// (numerics.md, 3). A backend declares it, the judge replays it.

#pragma once

#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe {

enum class Operands {
  local_slots,  // the choices of a token that this rank owns, in k order
  all_slots,    // all choices of a token, in k order, each a row on the wire
  ranks,        // one partial row per rank, ranks ascending
};

// whole: product and sum in one rounding (fma). separate: the product is rounded to the
// accumulator's type first. none: rows are added as they are.
enum class Weighting { none, separate, whole };

// One sum: operands in their order into an accumulator of that type, then one rounding to the rows'
// type. ordered is false where a library adds and promises no order (NCCL beyond two ranks).
struct ReductionStage {
  Operands operands = Operands::local_slots;
  Weighting weighting = Weighting::none;
  DType accumulator = DType::f32;
  bool ordered = true;
};

// Stages in the order in which a row meets them.
using ReductionRecipe = std::vector<ReductionStage>;

}  // namespace moe
