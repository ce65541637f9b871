// vLLM's XPU communicator as it was first shipped (03fe6ec): all_gatherv and reduce_scatterv call
// torch's collectives without their group, so that they run on the world (distribution-layer.md,
// T17). A decorator, so that the repaired form is to leave it away.

#pragma once

#include "comm/communicator.h"
#include "kernels/base/check.h"

namespace moe {

// Over which ranks the gathers and reduce-scatters of a line's groups run.
enum class CollectivesRun { on_the_group, on_the_world };

// What torch raises at the call, of which it is said that every rank gets it: nobody waits.
class RefusedCallError : public SystemError {
 public:
  using SystemError::SystemError;
};

// world_size: ranks of the world that the group is part of. Where the lists that vLLM makes for the
// group are not what torch wants on the world, both calls throw RefusedCallError with the lengths;
// else the world is the group, and they do what they should. All else goes through, and groups that
// are split from it are as they come.
std::unique_ptr<Communicator> with_first_xpu_collectives(std::unique_ptr<Communicator> group,
                                                         int world_size);

}  // namespace moe
