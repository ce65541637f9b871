// Joining, splitting and leaving. NCCL is asked until it is ready, with a deadline; a group is
// destroyed when its work is done, aborted when it failed, and left as it is where both would wait.

#include "comm/nccl_group.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "comm/store.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::chrono::microseconds pause{100};
// While a rank waits for others that are to come, it asks after those that never will.
constexpr milliseconds ask_after{50};

void check(cudaError_t result, std::string_view what) {
  if (result == cudaSuccess) return;
  throw SystemError(text("NCCL: ", what, ": CUDA: ", cudaGetErrorString(result)));
}

ncclConfig_t handle_config() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.splitShare = 1;
  return config;
}

ncclConfig_t blocking_config() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 1;
  return config;
}

// What a rank writes, or nobody by the deadline; a rank that is lost is not waited for.
std::string awaited(const NcclSettings& settings, StoreClient& store, const std::string& key,
                    int from) {
  const milliseconds joining = std::max(settings.deadline, joining_min);
  const auto end = Clock::now() + joining;
  while (true) {
    if (const auto found = store.get(key, ask_after)) return *found;
    const std::vector<int> lost = store.lost_members();
    const bool is_lost = std::ranges::count(lost, from) > 0;
    if (!is_lost && Clock::now() < end) continue;
    throw SystemError(text("rank ", settings.rank, " of ", settings.size, ", group '",
                           settings.group, "': rank ", from,
                           is_lost ? " is gone without a word"
                                   : text(" did not come within ", joining.count(), " ms")));
  }
}

}  // namespace

// The identity of the group, which rank 0 writes into the store. All ranks are here when it is
// known, so that NCCL itself does not wait for one that never came.
ncclUniqueId nccl_identity(const NcclSettings& settings, StoreClient& store) {
  const std::string key = text("nccl/", settings.group);
  ncclUniqueId id = {};
  if (settings.rank == 0) {
    if (is_error(ncclGetUniqueId(&id))) {
      throw SystemError(text("NCCL: no identity: ", ncclGetLastError(nullptr)));
    }
    store.set(key, {id.internal, sizeof id.internal});
  }
  store.set(text(key, "/here/", settings.rank), "here");
  for (int rank = 0; rank < settings.size; ++rank) {
    awaited(settings, store, text(key, "/here/", rank), rank);
  }
  const std::string words = awaited(settings, store, key, 0);
  MOE_CHECK(words.size() == sizeof id.internal, "an identity of NCCL of another size");
  std::memcpy(id.internal, words.data(), sizeof id.internal);
  return id;
}

NcclGroup::NcclGroup(const NcclSettings& settings, Memory& memory, std::atomic<bool>* family,
                     const Make& make, const StillHopeful& still_hopeful)
    : settings_(settings),
      joining_(std::max(settings.deadline, joining_min)),
      stream_(static_cast<cudaStream_t>(memory.stream().queue)),
      family_(family == nullptr ? &is_cut_ : family) {
  check(cudaGetDevice(&device_), "the rank's device");
  ncclConfig_t blocking = blocking_config();
  if (settings_.calls == NcclCalls::bare) {
    const ncclResult_t made = make(&comm_, &blocking);
    if (is_error(made)) throw SystemError(text("joining the group: ", words_of(made)));
    return;
  }
  try {
    ncclConfig_t config = handle_config();
    settle(make(&handle_, &config), "joining the group", still_hopeful);
    settle(ncclCommSplit(handle_, 0, settings_.rank, &comm_, &blocking), "joining the group",
           still_hopeful);
  } catch (const SystemError& error) {
    const std::string words = text("rank ", settings_.rank, " of ", settings_.size, ", group '",
                                   settings_.group, "': ", error.what());
    if (settings_.tell) settings_.tell(words);
    *family_ = true;
    // Between processes an abort may wait for who did not come: what was made is left as it is.
    if (settings_.share_process) cut();
    throw SystemError(words);
  }
}

// What may still wait on a window is left as it is: freeing waits for it.
NcclGroup::~NcclGroup() {
  if (is_abandoned_ || (windowed_ != nullptr && is_cut())) return;
  for (ncclComm_t comm : {windowed_, comm_, handle_}) {
    if (comm != nullptr) is_cut() ? ncclCommAbort(comm) : ncclCommDestroy(comm);
  }
  for (cudaEvent_t event : marks_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  for (cudaEvent_t event : spare_) cudaEventDestroy(event);
}

// The last communicator of a family that is destroyed waits until each peer has closed its
// connection (NCCL 2.28.9, proxy.cc, ncclProxyService). One that is finalized closes its own and
// waits for nobody; the order keeps the handle the last.
bool NcclGroup::close() {
  if (is_cut()) return false;
  for (ncclComm_t comm : {windowed_, comm_}) {
    if (comm != nullptr && is_error(ncclCommFinalize(comm))) return false;
  }
  try {
    settle(ncclCommFinalize(handle_), "leaving the group", [] {});
  } catch (const SystemError&) {
    return false;
  }
  return true;
}

ncclComm_t NcclGroup::split(Share share, const StillHopeful& still_hopeful) {
  MOE_CHECK(handle_ != nullptr, "a bare group, or one that is cut, is split");
  const int color = share.color < 0 ? NCCL_SPLIT_NOCOLOR : share.color;
  ncclConfig_t config = share.calls == NcclCalls::bare ? blocking_config() : handle_config();
  ncclComm_t child = nullptr;
  settle(ncclCommSplit(handle_, color, share.key, &child, &config), "split", still_hopeful);
  return child;
}

ncclComm_t NcclGroup::windowed(const StillHopeful& still_hopeful) {
  if (windowed_ != nullptr) return windowed_;
  MOE_CHECK(handle_ != nullptr && settings_.end_process,
            "windows for a group that is bare or cut, or that could not end what waits on them");
  ncclConfig_t config = blocking_config();
  settle(ncclCommSplit(handle_, 0, settings_.rank, &windowed_, &config),
         "a communicator for windows", still_hopeful);
  return windowed_;
}

std::string NcclGroup::words_of(ncclResult_t result) const {
  return text("NCCL: ", ncclGetErrorString(result), ": ", ncclGetLastError(nullptr));
}

// THREAD: the watch's, which nothing may end by throwing: without an event the queue's end counts.
void NcclGroup::mark() {
  cudaSetDevice(device_);
  cudaEvent_t event = nullptr;
  if (!spare_.empty()) {
    event = spare_.back();
    spare_.pop_back();
  } else if (cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess) {
    event = nullptr;
  }
  if (event != nullptr) cudaEventRecord(event, stream_);
  marks_.push_back(event);
}

// An error of the device is no wait either: the rank meets it when it waits for its queue.
bool NcclGroup::passes_mark() {
  cudaEvent_t event = marks_.front();
  const cudaError_t state = event == nullptr ? cudaStreamQuery(stream_) : cudaEventQuery(event);
  if (state == cudaErrorNotReady) return false;
  marks_.pop_front();
  if (event != nullptr) spare_.push_back(event);
  return true;
}

void NcclGroup::cut() {
  *family_ = true;
  if (windowed_ != nullptr) return;  // an abort waits for what it does not end
  if (handle_ != nullptr) ncclCommAbort(std::exchange(handle_, nullptr));
}

void NcclGroup::say(const std::string& words) {
  if (settings_.tell) settings_.tell(words);
  if (windowed_ != nullptr) settings_.end_process(words);
}

void NcclGroup::settle(ncclResult_t called, std::string_view what,
                       const StillHopeful& still_hopeful) {
  const auto begin = Clock::now();
  auto asked = begin;
  ncclResult_t state = called;
  while (state == ncclSuccess || state == ncclInProgress) {
    if (handle_ == nullptr || is_error(ncclCommGetAsyncError(handle_, &state))) break;
    if (state == ncclSuccess) return;
    const auto now = Clock::now();
    if (now - begin > joining_) {
      throw LatePeer(text(what, " was not done within ", joining_.count(), " ms"));
    }
    if (now - asked > ask_after) {
      asked = now;
      still_hopeful();
    }
    std::this_thread::sleep_for(pause);
  }
  throw SystemError(words_of(state));
}

}  // namespace moe
