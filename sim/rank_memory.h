// A rank's memory on its device. A device may take seconds to open (its kernels are compiled),
// longer than any answer of a peer: that is over before the deadline of a wait for this rank
// begins. Called by the worlds, before they make the rank's communicator.

#pragma once

#include <memory>

#include "comm/makers.h"
#include "sim/rank_program.h"

namespace moe::sim {

// On a device of its own where the rank's communicator wants that, else on the machine's first,
// which ranks share. Opens the device; throws SystemError where that fails or the job is stopped.
std::unique_ptr<Memory> rank_memory(const RankJob& job, const CommunicatorMaker& maker,
                                    const Meeting& meeting);

// As that, and waits until all ranks of the meeting have theirs. Throws SystemError too where a
// peer's device does not open, or a peer is gone. REQUIRES meeting.store; once a mesh.
std::unique_ptr<Memory> rank_memory_beside_peers(const RankJob& job, const CommunicatorMaker& maker,
                                                 const Meeting& meeting, int rank);

}  // namespace moe::sim
