// Ranks on NVIDIA GPUs through NCCL, one GPU each: threads of one process or processes, meeting
// through the store. NCCL's headers live in nccl_communicator.cc only; nccl_absent.cc stands in
// where a build has none.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/store.h"
#include "comm/symmetric_memory.h"

namespace moe {

// Calls return when their operation is in the rank's stream. watched: with a deadline for each;
// what fails is thrown by the group's next call, and by the stream's synchronisation. bare: nothing
// looks after them; for measuring.
enum class NcclCalls { watched, bare };

struct NcclSettings {
  int rank = 0;
  int size = 1;
  std::string group = "world";  // names this group's key in the store; every group has its own
  std::chrono::milliseconds deadline{5000};
  NcclCalls calls = NcclCalls::watched;
  std::vector<int> members = {};  // of the store, by rank; empty: a rank is its member
  bool share_process = false;     // as of Meeting
  std::function<void(const std::string& words)> end_process = {};  // as of Meeting
  // Hears why the group is broken, before what is queued is ended, which may take its time. THREAD:
  // the rank's or its watch's.
  std::function<void(const std::string& words)> tell = {};
};

// How to make an NCCL communicator in this build; make is null where it has none, and absence says
// what to do about that.
struct NcclMaker {
  std::unique_ptr<Communicator> (*make)(const NcclSettings& settings, StoreClient& store,
                                        Memory& memory);
  // Bare calls between the ranks of a group that make has made, which outlives them. Collective.
  std::unique_ptr<Communicator> (*make_bare)(Communicator& group);
  // A window between the ranks of a group that make or make_bare has made. Collective.
  std::unique_ptr<SymmetricMemory> (*make_window)(Communicator& group, Count bytes);
  std::string (*version)();  // of the library that is loaded
  const char* absence;
};

extern const NcclMaker nccl_maker;

}  // namespace moe
