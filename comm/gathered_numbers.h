// A few numbers of each rank, known to all: digests and votes, compared by rearrangements, map
// checks and engines. No rows travel here.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// The numbers of all ranks, rank after rank. Collective; each rank gives as many.
std::vector<std::int64_t> gathered_numbers(std::span<const std::int64_t> own, Communicator& group);

}  // namespace moe
