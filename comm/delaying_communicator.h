// A rank that comes to each of its operations a random while later, so that repeated runs meet many
// orders of who comes first (gpu-transports.md: equal bits over 1000 reruns with random delays).

#pragma once

#include <chrono>
#include <memory>

#include "comm/communicator.h"

namespace moe {

// Before every call, also of the groups split from it, this rank waits 0 to delay_max, each while
// as likely as any other. No two runs have the same delays: there is no seed, since what a machine
// does with them has none either. delay_max is far below the group's deadline: a peer may wait for
// a chain of ranks that are all late.
std::unique_ptr<Communicator> with_random_delays(std::unique_ptr<Communicator> inner,
                                                 std::chrono::microseconds delay_max);

}  // namespace moe
