// NcclWindow: a symmetric window of NCCL's, and the addresses under which a rank reaches it on its
// peers. Made by nccl_communicator.cc when all ranks of a group are at the same place.

#pragma once

#include <memory>
#include <string>

#include "comm/nccl_group.h"
#include "comm/symmetric_memory.h"

namespace moe {

class NoWindows : public SystemError {
 public:
  using SystemError::SystemError;
};

struct WindowRank {
  int rank = 0;
  int size = 1;
};

// comm: the group's own, or that for windows (NcclGroup::windowed), of which the window is then
// one. Collective. Throws NoWindows, on all ranks, where NCCL has none between them; SystemError
// where one cannot be had.
std::unique_ptr<SymmetricMemory> make_nccl_window(NcclGroup& group, ncclComm_t comm, WindowRank at,
                                                  Memory& memory, Count bytes);

}  // namespace moe
