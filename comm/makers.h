// The communicators of this build: one row each, also for those it lacks, with the reason.
// A new communicator is one file, its absent twin and a row in makers.cc.

#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "comm/local_communicator.h"
#include "comm/store.h"
#include "comm/symmetric_memory.h"

namespace moe {

class Board;

// What the ranks of a world meet through. Null: a communicator that needs it cannot be made.
struct Meeting {
  int size = 1;
  std::chrono::milliseconds deadline{5000};
  LocalGroup* group = nullptr;
  StoreClient* store = nullptr;
  std::string mesh = "world";      // names the group's keys in the store: another for each run
  std::string host = "127.0.0.1";  // under which peers reach this rank
  Board* board = nullptr;          // this rank's end; null: the ranks share no memory
  int local_rank = 0;              // among the ranks of its machine
  bool share_process = false;      // all ranks are threads of one process
  // Says why a rank's peers are lost and ends its process. Who has it gets places for rows from
  // which calls cannot be ended otherwise (NCCL's kernels for symmetric windows look at no abort);
  // without it a communicator has only places that every error can leave.
  std::function<void(const std::string& words)> end_process = {};
};

struct CommunicatorMaker {
  std::string_view name;
  std::string_view moves;                   // how rows travel, in a few words
  std::optional<DeviceKind> device;         // whose memory it moves; none: any device's
  std::optional<DeviceKind> staged_device;  // whose rows it moves through host buffers beside that
  bool needs_store = false;                 // else it needs a local group
  bool one_device_each = false;             // else ranks of one machine may share its first device
  bool compares_operations = true;  // else ranks in different calls may get each other's rows, and
                                    // only a TracedCommunicator around it sees that
  std::chrono::milliseconds ending{1200};  // what a rank may take to end after a peer has failed
  std::unique_ptr<Communicator> (*make)(const Meeting& meeting, int rank, Memory& memory) = nullptr;
  // For measuring: calls between the ranks of a group that make has made, queued with nothing
  // around them. They end with the group, which outlives them. Collective. Null: make's calls are
  // bare.
  std::unique_ptr<Communicator> (*make_bare)(Communicator& group) = nullptr;
  // A window between the ranks of a group that make or make_bare has made. Collective. Null: it has
  // none.
  std::unique_ptr<SymmetricMemory> (*make_symmetric)(Communicator& group, Count bytes) = nullptr;
  std::string (*version)() = nullptr;  // of a library that is loaded; null: none to speak of
  const char* absence = nullptr;       // why make is null; null where it is there
};

std::span<const CommunicatorMaker> communicator_makers();

constexpr bool moves_memory_of(const CommunicatorMaker& maker, DeviceKind device) {
  return maker.device.value_or(device) == device || maker.staged_device == device;
}

}  // namespace moe
