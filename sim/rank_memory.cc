// What ranks say of their devices in the store: "opens/MESH/R", rank R begins, and "opened/MESH/R",
// it has ended: empty, or with what went wrong. Peers come within the deadline, and may then take
// the time that a compiler needs.

#include "sim/rank_memory.h"

#include <algorithm>

#include "comm/board.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"

namespace moe::sim {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds slice{20};             // between looks at what may end a wait
constexpr milliseconds opening_wait{120000};  // for a compiler

// Waits for a peer's key. Throws SystemError for a peer that is late or gone.
std::string awaited(const std::string& key, int peer, milliseconds wait, const RankJob& job,
                    const Meeting& meeting) {
  const Clock::time_point until = Clock::now() + wait;
  const std::string_view device = name_of(job.line.device);
  while (true) {
    if (auto words = meeting.store->get(key, slice)) return *words;
    if (job.stop.load()) throw SystemError("interrupted while devices open");
    const auto broken = meeting.board == nullptr ? std::nullopt : meeting.board->broken();
    if (broken) throw SystemError(*broken);
    if (std::ranges::count(meeting.store->lost_members(), peer) > 0) {
      throw SystemError(text("rank ", peer, " was gone before its ", device, " was open"));
    }
    if (Clock::now() > until) {
      throw SystemError(text("rank ", peer, " did not come to open its ", device, " for group '",
                             meeting.mesh, "' within ", wait.count(), " ms"));
    }
  }
}

void await_device(int peer, const RankJob& job, const Meeting& meeting) {
  awaited(text("opens/", meeting.mesh, "/", peer), peer, meeting.deadline, job, meeting);
  const std::string failure =
      awaited(text("opened/", meeting.mesh, "/", peer), peer, opening_wait, job, meeting);
  if (failure.empty()) return;
  throw SystemError(
      text("rank ", peer, " cannot open its ", name_of(job.line.device), ": ", failure));
}

}  // namespace

std::unique_ptr<Memory> rank_memory(const RankJob& job, const CommunicatorMaker& maker,
                                    const Meeting& meeting) {
  const DeviceMaker& device = device_maker(job.line.device);
  const int ordinal = maker.one_device_each ? meeting.local_rank : 0;
  if (device.open != nullptr) device.open(ordinal, job.stop);
  return device.make_memory(ordinal, Poison::on);
}

std::unique_ptr<Memory> rank_memory_beside_peers(const RankJob& job, const CommunicatorMaker& maker,
                                                 const Meeting& meeting, int rank) {
  if (device_maker(job.line.device).open == nullptr) return rank_memory(job, maker, meeting);
  const std::string opened = text("opened/", meeting.mesh, "/", rank);
  meeting.store->set(text("opens/", meeting.mesh, "/", rank), "");
  std::unique_ptr<Memory> memory;
  try {
    memory = rank_memory(job, maker, meeting);
  } catch (const std::exception& error) {
    meeting.store->set(opened, error.what());
    throw;
  }
  meeting.store->set(opened, "");
  for (int peer = 0; peer < meeting.size; ++peer) await_device(peer, job, meeting);
  return memory;
}

}  // namespace moe::sim
