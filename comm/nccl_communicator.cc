// One rank of an NCCL group. Awaited calls never block: NCCL is asked until it is ready, and the
// rank's stream until the operation is done, both with a deadline. What fails aborts the group,
// since its kernels wait on the GPU until then. NCCL has no uneven collectives: they are groups of
// even ones.

#include "comm/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "comm/exchange_sum.h"
#include "comm/operation.h"
#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

// A wait looks without a pause at first, since most operations take microseconds.
constexpr std::chrono::microseconds busy_for{200};
constexpr std::chrono::microseconds pause{20};

// Up to so many ranks a sum of NCCL's has the bits of the ranks' order: a + b is b + a. Beyond,
// NCCL rounds at every hop, and rows are exchanged and added in order instead (numerics.md, 3).
constexpr int ranks_in_any_order = 2;

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::i32:
      return ncclInt32;
    default:
      return ncclInt64;
  }
}

bool are_equal(RowCounts counts) {
  return std::ranges::count(counts, counts[0]) == std::ssize(counts);
}

std::size_t elements(const Tensor& rows) {
  return static_cast<std::size_t>(rows.rows * rows.columns);
}

std::size_t bytes(const Tensor& rows) { return static_cast<std::size_t>(bytes_of(rows)); }

bool is_error(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

ncclConfig_t config_for(NcclCalls calls) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = calls == NcclCalls::queued ? 1 : 0;
  return config;
}

// NCCL's structures change between versions: headers and library must be the same.
void check_version() {
  int version = 0;
  ncclGetVersion(&version);
  if (version == NCCL_VERSION_CODE) return;
  throw SystemError(text("NCCL ", version, " is loaded, this program was built for ",
                         NCCL_VERSION_CODE, ": put that library first in LD_LIBRARY_PATH"));
}

// The time since a wait began.
class Wait {
 public:
  explicit Wait(std::chrono::milliseconds deadline) : deadline_(deadline) {}

  // RETURNS false once the deadline is over.
  bool goes_on() const {
    const auto waited = Clock::now() - begin_;
    if (waited > busy_for) std::this_thread::sleep_for(pause);
    return waited <= deadline_;
  }

 private:
  Clock::time_point begin_ = Clock::now();
  std::chrono::milliseconds deadline_;
};

// The calls of one group, and the first that failed.
class GroupCall {
 public:
  GroupCall() : result_(ncclGroupStart()) {}

  void add(ncclResult_t result) {
    if (!is_error(result_)) result_ = result;
  }

  ncclResult_t end() {
    add(ncclGroupEnd());
    return result_;
  }

 private:
  ncclResult_t result_;
};

class NcclCommunicator final : public Communicator {
 public:
  // make(handle) asks NCCL for the communicator.
  template <typename Make>
  NcclCommunicator(NcclSettings settings, Memory& memory, Make make)
      : settings_(std::move(settings)),
        memory_(memory),
        stream_(static_cast<cudaStream_t>(memory.stream().queue)),
        word_(memory, {1, 1, DType::i32}) {
    memory.fill(word_.tensor(), 0);
    settle(make(&comm_), "joining the group");
  }

  ~NcclCommunicator() override {
    if (comm_ == nullptr) return;
    const bool is_done = !is_error(ncclCommFinalize(comm_)) && becomes_ready() == ncclSuccess;
    is_done ? ncclCommDestroy(comm_) : ncclCommAbort(comm_);
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }
  Memory& memory() override { return memory_; }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    run(Operation::all_gather_v, [&](GroupCall& call) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (are_equal(rows_per_rank)) {
          call.add(ncclAllGather(rows[i].data, gathered[i].data, bytes(rows[i]), ncclUint8, comm_,
                                 stream_));
          continue;
        }
        each_part(gathered[i], rows_per_rank, [&](int root, const Tensor& part) {
          const void* from = root == rank() ? rows[i].data : part.data;
          call.add(ncclBroadcast(from, part.data, bytes(part), ncclUint8, root, comm_, stream_));
        });
      }
    });
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    if (size() > ranks_in_any_order) return exchange_and_sum(*this, rows, rows_per_rank, own);
    run(Operation::reduce_scatter_v, [&](GroupCall& call) {
      const ncclDataType_t type = type_of(rows.dtype);
      if (are_equal(rows_per_rank)) {
        return call.add(
            ncclReduceScatter(rows.data, own.data, elements(own), type, ncclSum, comm_, stream_));
      }
      each_part(rows, rows_per_rank, [&](int root, const Tensor& part) {
        void* to = root == rank() ? own.data : nullptr;
        call.add(ncclReduce(part.data, to, elements(part), type, ncclSum, root, comm_, stream_));
      });
    });
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    run(Operation::all_to_all_v, [&](GroupCall& call) {
      for (std::size_t i = 0; i < sent.size(); ++i) {
        each_part(sent[i], rows_to, [&](int peer, const Tensor& part) {
          if (peer == rank()) return;
          call.add(ncclSend(part.data, bytes(part), ncclUint8, peer, comm_, stream_));
        });
        each_part(received[i], rows_from, [&](int peer, const Tensor& part) {
          if (peer == rank()) return copy_own(sent[i], rows_before(rows_to, rank()), part);
          call.add(ncclRecv(part.data, bytes(part), ncclUint8, peer, comm_, stream_));
        });
      }
    });
  }

  void copy_own(const Tensor& sent, Count begin, const Tensor& part) {
    const Tensor own = rows_of(sent, begin, part.rows);
    if (own.data != part.data) memory_.copy(own, part);
  }

  void do_broadcast(Tensors rows, int root) override {
    run(Operation::broadcast, [&](GroupCall& call) {
      for (const Tensor& tensor : rows) {
        call.add(ncclBroadcast(tensor.data, tensor.data, bytes(tensor), ncclUint8, root, comm_,
                               stream_));
      }
    });
  }

  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    const bool is_count = in.dtype == DType::i32 || in.dtype == DType::i64;
    const bool sums_as_due = op == ReduceOp::sum && (is_count || size() <= ranks_in_any_order);
    const bool is_largest_count = op == ReduceOp::max && is_count;  // NCCL's max drops a NaN
    if (!sums_as_due && !is_largest_count) return exchange_and_reduce(*this, in, op, out);
    run(Operation::all_reduce, [&](GroupCall& call) {
      call.add(ncclAllReduce(in.data, out.data, elements(in), type_of(in.dtype),
                             op == ReduceOp::sum ? ncclSum : ncclMax, comm_, stream_));
    });
  }

  void do_send(Tensors rows, int to) override {
    const auto calls = [&](GroupCall& call) {
      for (const Tensor& tensor : rows) {
        call.add(ncclSend(tensor.data, bytes(tensor), ncclUint8, to, comm_, stream_));
      }
    };
    run(Operation::send, calls, to);
  }

  void do_recv(Tensors rows, int from) override {
    const auto calls = [&](GroupCall& call) {
      for (const Tensor& tensor : rows) {
        call.add(ncclRecv(tensor.data, bytes(tensor), ncclUint8, from, comm_, stream_));
      }
    };
    run(Operation::recv, calls, from);
  }

  void do_barrier() override {
    void* word = word_.tensor().data;
    run(Operation::barrier, [&](GroupCall& call) {
      call.add(ncclAllReduce(word, word, 1, ncclInt32, ncclSum, comm_, stream_));
    });
  }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    throw_if_broken();
    ncclConfig_t config = config_for(settings_.calls);
    ncclComm_t child = nullptr;
    settle(ncclCommSplit(comm_, color < 0 ? NCCL_SPLIT_NOCOLOR : color, key, &child, &config),
           name_of(Operation::split));
    ++number_;
    if (color < 0) return nullptr;
    NcclSettings settings = settings_;
    if (is_error(ncclCommUserRank(child, &settings.rank)) ||
        is_error(ncclCommCount(child, &settings.size))) {
      fail(text("a group of color ", color, " does not know its ranks"));
    }
    const auto take = [child](ncclComm_t* comm) {
      *comm = child;
      return ncclInProgress;
    };
    return std::make_unique<NcclCommunicator>(std::move(settings), memory_, take);
  }

  // Calls function(rank, its run of rows) for each rank that has some.
  template <typename Function>
  static void each_part(const Tensor& rows, RowCounts counts, Function function) {
    Count begin = 0;
    for (std::size_t rank = 0; rank < counts.size(); ++rank) {
      const Tensor part = rows_of(rows, begin, counts[rank]);
      if (bytes_of(part) > 0) function(static_cast<int>(rank), part);
      begin += counts[rank];
    }
  }

  // The only rank that this one can wait for; -1: there are several.
  int only_peer() const { return size() == 2 ? 1 - rank() : -1; }

  // One operation: a group of calls. peer: the one that it waits for, -1 where NCCL does not say.
  template <typename Calls>
  void run(Operation operation, Calls calls, int peer = -1) {
    throw_if_broken();
    GroupCall call;
    calls(call);
    settle(call.end(), name_of(operation));
    if (settings_.calls == NcclCalls::awaited) await(operation, peer >= 0 ? peer : only_peer());
    ++number_;
  }

  void await(Operation operation, int peer) {
    const Wait wait(settings_.deadline);
    cudaError_t done = cudaStreamQuery(stream_);
    while (done == cudaErrorNotReady) {
      if (!wait.goes_on()) fail(late(name_of(operation), peer));
      check_async(name_of(operation));
      done = cudaStreamQuery(stream_);
    }
    if (done != cudaSuccess) {
      fail(text(name_of(operation), ": CUDA: ", cudaGetErrorString(done)));
    }
  }

  // Asks NCCL until it is ready. RETURNS ncclInProgress where it is not by the deadline.
  ncclResult_t becomes_ready() const {
    const Wait wait(settings_.deadline);
    ncclResult_t state = ncclInProgress;
    do {
      if (is_error(ncclCommGetAsyncError(comm_, &state))) return ncclInternalError;
    } while (state == ncclInProgress && wait.goes_on());
    return state;
  }

  // called: what the call returned that the communicator is to be ready after.
  void settle(ncclResult_t called, std::string_view what) {
    const ncclResult_t state = is_error(called) ? called : becomes_ready();
    if (state == ncclSuccess) return;
    if (state == ncclInProgress) fail(late(what, only_peer()));
    fail(text(what, ": NCCL: ", ncclGetErrorString(state), ": ", ncclGetLastError(comm_)));
  }

  void check_async(std::string_view what) {
    ncclResult_t state = ncclSuccess;
    ncclCommGetAsyncError(comm_, &state);
    if (is_error(state)) settle(state, what);
  }

  std::string late(std::string_view what, int peer) const {
    if (peer >= 0) {
      return text(what, ": rank ", peer, " did not come within ", settings_.deadline.count(),
                  " ms");
    }
    return text(what, " was not done within ", settings_.deadline.count(),
                " ms: a peer is late or gone");
  }

  [[noreturn]] void fail(const std::string& why) {
    broken_ = text("rank ", rank(), " of ", size(), " over NCCL, operation ", number_, ": ", why);
    if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
    throw SystemError(broken_);
  }

  void throw_if_broken() const {
    if (!broken_.empty()) throw SystemError(broken_);
  }

  NcclSettings settings_;
  Memory& memory_;
  cudaStream_t stream_;
  Buffer word_;  // of barriers
  ncclComm_t comm_ = nullptr;
  Count number_ = 0;    // of the next operation
  std::string broken_;  // why, once it is
};

// Rank 0's identity of the group, which the others find in the store.
ncclUniqueId meet(const NcclSettings& settings, StoreClient& store) {
  const std::string key = text("nccl/", settings.group);
  ncclUniqueId id = {};
  if (settings.rank == 0) {
    if (is_error(ncclGetUniqueId(&id))) {
      throw SystemError(text("NCCL: no identity: ", ncclGetLastError(nullptr)));
    }
    store.set(key, {id.internal, sizeof id.internal});
    return id;
  }
  const std::optional<std::string> found = store.get(key, settings.deadline);
  if (!found || found->size() != sizeof id.internal) {
    throw SystemError(text("rank 0 did not say the identity of group ", settings.group, " within ",
                           settings.deadline.count(), " ms"));
  }
  std::memcpy(id.internal, found->data(), sizeof id.internal);
  return id;
}

std::unique_ptr<Communicator> make(const NcclSettings& settings, StoreClient& store,
                                   Memory& memory) {
  check_version();
  const ncclUniqueId id = meet(settings, store);
  return std::make_unique<NcclCommunicator>(settings, memory, [&](ncclComm_t* comm) {
    ncclConfig_t config = config_for(settings.calls);
    return ncclCommInitRankConfig(comm, settings.size, id, settings.rank, &config);
  });
}

}  // namespace

const NcclMaker nccl_maker = {make, nullptr};

}  // namespace moe
