// Tokens of one DP rank split over the ranks of a group, and put together again: sequence parallel
// over TP (vLLM: models/utils.py, sequence_parallel_chunk; distribution-layer.md, 4.3), and PCP.
// Called by the runner around the layer.

#pragma once

#include "comm/communicator.h"
#include "kernels/base/buffer.h"

namespace moe {

// This rank's part of rows that all ranks of the group hold: ceil(rows / size) of them, contiguous,
// rank after rank; rows beyond the last are zeros.
Buffer own_share(const Tensor& rows, Communicator& group);

// All ranks' parts one after the other, without the rows beyond the last. Collective.
void gather_shares(const Tensor& share, Communicator& group, const Tensor& rows);

}  // namespace moe
