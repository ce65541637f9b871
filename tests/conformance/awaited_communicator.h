// A communicator whose calls are awaited: of one that queues them, what they moved is there when
// they return, and what fails is theirs. So one suite holds for both kinds.

#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moe::test {

std::unique_ptr<Communicator> awaited(std::unique_ptr<Communicator> inner);

}  // namespace moe::test
