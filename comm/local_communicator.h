// LocalCommunicator: ranks as threads of one process, rows copied within memory. The referee: it
// runs every rule without Gloo or NCCL and for more ranks than they can.

#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "comm/communicator.h"

namespace moe {

// What the ranks of one local group share. LIFETIME: longer than its communicators.
class LocalGroup {
 public:
  LocalGroup(int size, std::chrono::milliseconds deadline);
  ~LocalGroup();
  LocalGroup(const LocalGroup&) = delete;
  LocalGroup& operator=(const LocalGroup&) = delete;

  // The endpoint of a rank. Each rank's is taken once, on any thread.
  std::unique_ptr<Communicator> communicator(int rank, Memory& memory);

  // Wakes all ranks that wait here or in a group split from here, with a SystemError that says why.
  // THREAD: any.
  void abort(const std::string& why);

  class State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace moe
