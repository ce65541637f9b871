// How much memory this machine lets the program have. The one place that asks; what may be taken of
// it is said by whoever takes (room_estimate.h).

#pragma once

#include "kernels/base/dtype.h"

namespace moe::sim {

// Bytes: what the machine has, or less where a control group says so.
Count machine_memory_bytes();

}  // namespace moe::sim
