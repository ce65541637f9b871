// Reductions as moves and a local sum: what local and Gloo ranks share, so that their bits agree
// (numerics.md, 3). Called by do_reduce_scatter_v and do_all_reduce of those two.

#pragma once

#include <vector>

#include "comm/communicator.h"

namespace moe {

// reduce_scatter_v: all_to_all_v of the parts, then their sum in the order of the ranks.
void exchange_and_sum(Communicator& group, const Tensor& rows, RowCounts rows_per_rank,
                      const Tensor& own);

// all_reduce: the same over an even split of the elements, then all_gather_v of the results.
void exchange_and_reduce(Communicator& group, const Tensor& in, ReduceOp op, const Tensor& out);

// The parts of an even split; the first total % parts of them hold one more.
std::vector<Count> even_split(Count total, int parts);

}  // namespace moe
