// NcclGroup: one rank's membership of an NCCL group, from joining with a deadline to leaving, and
// the way to end whatever it waits for. Which operations there are is nccl_communicator.cc's. The
// only header of ours with NCCL's types; only the files comm/nccl_*.cc and .cu include it.

#pragma once

#include <cuda_runtime.h>
#include <nccl.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "comm/nccl_communicator.h"
#include "comm/operation_watch.h"

namespace moe {

inline bool is_error(ncclResult_t result) {
  return result != ncclSuccess && result != ncclInProgress;
}

// A peer did not come within the deadline.
class LatePeer : public SystemError {
 public:
  using SystemError::SystemError;
};

// NCCL takes its time to join a group; a deadline that is shorter starts with the first operation.
constexpr std::chrono::milliseconds joining_min{10000};

// Called again and again while something takes long: throws where it is hopeless.
using StillHopeful = std::function<void()>;

// The identity of a group, which its rank 0 leaves in the store. All its ranks are here when it is
// known, so that NCCL itself waits for none that never came. Throws SystemError with who did not.
ncclUniqueId nccl_identity(const NcclSettings& settings, StoreClient& store);

// Watched groups have communicators of NCCL's that share what they stand on, the abort flag
// included (splitShare; NCCL 2.28.9, init.cc, ncclCommInitChildComm). The handle never blocks: so
// joining and splitting have a deadline, and its abort ends what another one waits for, on the
// host as on the device, while a rank's thread may be inside of it; but for kernels on windows,
// which ask after nothing (src/device/symmetric). The other one carries the operations and blocks:
// NCCL starts a thread for each group of calls of one that does not (group.cc,
// ncclGroupEndInternal), which costs more than small operations take.
class NcclGroup final : public WatchedWire {
 public:
  // make(handle, config) asks NCCL for the handle. Throws SystemError.
  using Make = std::function<ncclResult_t(ncclComm_t* handle, ncclConfig_t* config)>;
  // family: of the group that this one is split from, null: it begins one. One abort flag is
  // theirs, so that a group that is cut cuts all.
  NcclGroup(const NcclSettings& settings, Memory& memory, std::atomic<bool>* family,
            const Make& make, const StillHopeful& still_hopeful);
  ~NcclGroup() override;
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  // What operations are queued with.
  ncclComm_t comm() const { return comm_; }

  // What the NcclGroup of the ranks of one color is made with, null for none; it is cut with this
  // one. REQUIRES that nothing is queued. Throws LatePeer, or SystemError with NCCL's words.
  struct Share {
    int color = 0;
    int key = 0;
    NcclCalls calls = NcclCalls::watched;
  };
  ncclComm_t split(Share share, const StillHopeful& still_hopeful);

  // Leaves all of it as it is from now on: for peers in other processes that do not leave, whom
  // even an abort of a family's last may wait for (2.28.9 where memory of the host is not cuMem's).
  void abandon() { is_abandoned_ = true; }

  // A third one, for operations on windows, which comm() knows nothing of. The first call is
  // collective and makes it. No cut ends such operations: whoever has them, has the settings'
  // end_process. REQUIRES that nothing is queued. Throws as split does.
  ncclComm_t windowed(const StillHopeful& still_hopeful);

  // NCCL's words for a call that failed.
  std::string words_of(ncclResult_t result) const;

  void mark() override;
  bool passes_mark() override;
  void cut() override;
  void say(const std::string& words) override;
  bool is_cut() const override { return *family_; }

  std::atomic<bool>* family() { return family_; }
  // Whether it was split from no other.
  bool began_family() const { return family_ == &is_cut_; }

  // Closes what peers wait for when they leave, and waits for none: once all have done so, the rest
  // goes without a wait. REQUIRES that it began its family, whose others have gone on all ranks,
  // and that their work is done. RETURNS false where it could not: it is to be cut.
  bool close();

 private:
  void settle(ncclResult_t called, std::string_view what, const StillHopeful& still_hopeful);

  const NcclSettings settings_;
  const std::chrono::milliseconds joining_;
  cudaStream_t stream_;
  int device_ = 0;
  ncclComm_t handle_ = nullptr;  // null: bare, which is cut with the group that it was split from
  ncclComm_t comm_ = nullptr;
  ncclComm_t windowed_ = nullptr;
  std::atomic<bool> is_cut_ = false;  // where this group began its family
  std::atomic<bool>* family_;
  bool is_abandoned_ = false;
  std::vector<cudaEvent_t> spare_;
  std::deque<cudaEvent_t> marks_;  // not known to be past, the oldest first
};

}  // namespace moe
