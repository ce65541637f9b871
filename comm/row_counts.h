// What implementations of collectives ask of the rows that the ranks of a group say they have.
// No rank talks to another here.

#pragma once

#include <algorithm>
#include <iterator>

#include "kernels/base/dtype.h"

namespace moe {

// Whether all ranks have as many. counts: one for each rank, at least one.
inline bool are_equal(RowCounts counts) {
  return std::ranges::count(counts, counts[0]) == std::ssize(counts);
}

}  // namespace moe
