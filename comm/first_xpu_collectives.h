// vLLM's XPU communicator as it was first shipped (03fe6ec): all_gatherv and reduce_scatterv call
// torch's collectives without their group, so that they run on the world (distribution-layer.md,
// T17). A decorator, so that the repaired form is to leave it away.

#pragma once

#include "comm/communicator.h"

namespace moe {

// Over which ranks the gathers and reduce-scatters of a line's groups run.
enum class CollectivesRun { on_the_group, on_the_world };

// world_size: ranks of the world that the group is part of. Where the lists that vLLM makes for the
// group are not what torch wants on the world, both calls throw SystemError with the lengths; else
// the world is the group, and they do what they should. All else goes through.
std::unique_ptr<Communicator> with_first_xpu_collectives(std::unique_ptr<Communicator> group,
                                                         int world_size);

}  // namespace moe
