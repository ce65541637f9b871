// The table of communicators, in the order in which they are listed.
// Whether a row is there was decided by CMake's choice of files.

#include "comm/makers.h"

#include <array>

#include "comm/board.h"
#include "comm/gloo_communicator.h"
#include "comm/nccl_communicator.h"
#include "comm/xpu_communicator.h"
#include "kernels/base/check.h"

namespace moe {
namespace {

std::unique_ptr<Communicator> make_local(const Meeting& meeting, int rank, Memory& memory) {
  MOE_CHECK(meeting.group != nullptr, "a local communicator without its group");
  return meeting.group->communicator(rank, memory);
}

std::unique_ptr<Communicator> make_gloo(const Meeting& meeting, int rank, Memory& memory) {
  MOE_CHECK(meeting.store != nullptr, "a Gloo communicator without a store to meet through");
  const GlooSettings settings{.rank = rank,
                              .size = meeting.size,
                              .group = meeting.mesh,
                              .host = meeting.host,
                              .deadline = meeting.deadline};
  if (memory.stream().device.kind != DeviceKind::xpu) {
    return gloo_maker.make(settings, *meeting.store, memory);
  }
  std::unique_ptr<Memory> host = make_host_memory(Poison::off);
  std::unique_ptr<Communicator> mesh = gloo_maker.make(settings, *meeting.store, *host);
  return make_xpu_communicator(std::move(host), std::move(mesh), memory);
}

std::unique_ptr<Communicator> make_nccl(const Meeting& meeting, int rank, Memory& memory) {
  MOE_CHECK(meeting.store != nullptr, "an NCCL communicator without a store to meet through");
  NcclSettings settings{.rank = rank,
                        .size = meeting.size,
                        .group = meeting.mesh,
                        .deadline = meeting.deadline,
                        .share_process = meeting.share_process,
                        .end_process = meeting.end_process};
  if (meeting.board != nullptr) {
    settings.tell = [board = meeting.board](const std::string& words) { board->abort(words); };
  }
  return nccl_maker.make(settings, *meeting.store, memory);
}

}  // namespace

std::span<const CommunicatorMaker> communicator_makers() {
  static const std::array<CommunicatorMaker, 3> makers = {{
      {.name = "local",
       .moves = "copies between threads of one process",
       .make = make_local,
       .make_symmetric = make_shared_addresses},
      {.name = "gloo",
       .moves = "TCP between threads or processes; rows of xpu staged through host buffers",
       .device = DeviceKind::cpu,
       .staged_device = DeviceKind::xpu,
       .needs_store = true,
       .make = gloo_maker.make == nullptr ? nullptr : make_gloo,
       .absence = gloo_maker.absence},
      {.name = "nccl",
       .moves = "NVLink and the network between GPUs",
       .device = DeviceKind::cuda,
       .needs_store = true,
       .one_device_each = true,
       .compares_operations = false,
       .ending = std::chrono::milliseconds(3000),
       .make = nccl_maker.make == nullptr ? nullptr : make_nccl,
       .make_bare = nccl_maker.make_bare,
       .make_symmetric = nccl_maker.make_window,
       .version = nccl_maker.version,
       .absence = nccl_maker.absence},
  }};
  return makers;
}

}  // namespace moe
