// The table of communicators, in the order in which they are listed.
// Whether a row is there was decided by CMake's choice of files.

#include "comm/makers.h"

#include <array>

#include "comm/gloo_communicator.h"
#include "kernels/base/check.h"

namespace moe {
namespace {

std::unique_ptr<Communicator> make_local(const Meeting& meeting, int rank, Memory& memory) {
  MOE_CHECK(meeting.group != nullptr, "a local communicator without its group");
  return meeting.group->communicator(rank, memory);
}

std::unique_ptr<Communicator> make_gloo(const Meeting& meeting, int rank, Memory& memory) {
  MOE_CHECK(meeting.store != nullptr, "a Gloo communicator without a store to meet through");
  return gloo_maker.make({.rank = rank,
                          .size = meeting.size,
                          .group = meeting.mesh,
                          .host = meeting.host,
                          .deadline = meeting.deadline},
                         *meeting.store, memory);
}

}  // namespace

std::span<const CommunicatorMaker> communicator_makers() {
  static const std::array<CommunicatorMaker, 3> makers = {{
      {"local", "copies between threads of one process", std::nullopt, false, make_local, nullptr},
      {"gloo", "TCP between threads or processes", DeviceKind::cpu, true,
       gloo_maker.make == nullptr ? nullptr : make_gloo, gloo_maker.absence},
      {"nccl", "NVLink and the network between GPUs", DeviceKind::cuda, true, nullptr,
       "not in this build (the CUDA path is not written yet)"},
  }};
  return makers;
}

}  // namespace moe
