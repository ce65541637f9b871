// Ranks on NVIDIA GPUs through NCCL, one GPU each: threads of one process or processes, meeting
// through the store. NCCL's headers live in nccl_communicator.cc only; nccl_absent.cc stands in
// where a build has none.

#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/store.h"

namespace moe {

// awaited: a call returns when its operation is done, or throws after the deadline. queued: it
// returns when the operation is in the rank's stream, and nothing has a deadline; for measuring.
enum class NcclCalls { awaited, queued };

struct NcclSettings {
  int rank = 0;
  int size = 1;
  std::string group = "world";  // names this group's key in the store; every group has its own
  std::chrono::milliseconds deadline{5000};
  NcclCalls calls = NcclCalls::awaited;
};

// How to make an NCCL communicator in this build; make is null where it has none, and absence says
// what to do about that.
struct NcclMaker {
  std::unique_ptr<Communicator> (*make)(const NcclSettings& settings, StoreClient& store,
                                        Memory& memory);
  const char* absence;
};

extern const NcclMaker nccl_maker;

}  // namespace moe
