// One rank of an NCCL group. Calls are queued in the rank's stream, and what is queued is looked
// after from beside (operation_watch.h). NCCL has no uneven collectives: they are groups of even
// ones.

#include "comm/nccl_communicator.h"

#include <algorithm>
#include <array>
#include <exception>
#include <numeric>
#include <optional>
#include <utility>

#include "comm/exchange_sum.h"
#include "comm/gathered_numbers.h"
#include "comm/nccl_calls.h"
#include "comm/nccl_group.h"
#include "comm/nccl_row_windows.h"
#include "comm/nccl_version.h"
#include "comm/operation.h"
#include "comm/row_counts.h"
#include "comm/split.h"
#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

// Up to so many ranks a sum of NCCL's has the bits of the ranks' order: a + b is b + a. Beyond,
// NCCL rounds at every hop, and rows are exchanged and added in order instead (numerics.md, 3).
constexpr int ranks_in_any_order = 2;

constexpr std::chrono::milliseconds failing_patience{300};  // for peers that fail as well

class NcclCommunicator final : public Communicator {
 public:
  // family: as of NcclGroup.
  NcclCommunicator(const NcclSettings& settings, StoreClient& store, Memory& memory,
                   std::atomic<bool>* family, const NcclGroup::Make& make)
      : settings_(settings),
        news_({settings.group, settings.rank, members_of(settings)}, store),
        memory_(memory),
        queue_(queue_of(memory)),
        stream_(static_cast<cudaStream_t>(memory.stream().queue)),
        word_(memory, {1, 1, DType::i32}),
        group_(settings, memory, family, make, [this] { throw_if_absent(0); }),
        num_exceptions_(std::uncaught_exceptions()) {
    memory.fill(word_.tensor(), 0);
    if (settings.calls == NcclCalls::bare) return;
    watch_.emplace(WatchSettings{.deadline = settings.deadline}, group_, news_);
    queue_->add_watch(*watch_);
  }

  // A group whose work is done leaves in peace; what is still queued has its deadline.
  ~NcclCommunicator() override {
    if (!watch_) return;
    try {
      memory_.synchronize();
    } catch (const std::exception&) {
      // Whoever called before has heard it: a rank that leaves has nothing to add.
    }
    queue_->remove_watch(*watch_);
    const bool is_failing =
        watch_->is_broken() || group_.is_cut() || std::uncaught_exceptions() > num_exceptions_;
    if (is_failing) queue_->leave_in_haste();
    news_.leave(watch_->num_collectives(), is_failing ? Leaving::failing : Leaving::done);
    watch_.reset();
    if (is_failing) group_.cut();
    if (!settings_.share_process && !peers_let_go(is_failing)) group_.abandon();
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }
  Memory& memory() override { return memory_; }

  Memory& memory_for(RowPlace place) override {
    if (!windows_were_asked_for_) open_windows();
    return windows_ == nullptr ? memory_ : windows_->memory_for(place);
  }

  // The same ranks without a watch: what hangs there ends with this one.
  std::unique_ptr<Communicator> bare() {
    memory_.synchronize();
    NcclSettings settings = settings_;
    settings.calls = NcclCalls::bare;
    settings.group = text(settings_.group, "/bare");
    return joined(settings, split_group({0, rank(), NcclCalls::bare}));
  }

  // Registering waits on the host for all ranks, as a barrier does; they are there when it begins.
  std::unique_ptr<SymmetricMemory> window(Count bytes) {
    do_barrier();
    if (watch_) watch_->enter(Operation::barrier);
    try {
      auto window = make_nccl_window(group_, comm(), {rank(), size()}, memory_, bytes);
      if (watch_) watch_->leave();
      return window;
    } catch (const SystemError& error) {
      if (!watch_) throw;
      watch_->fail(error.what());
    }
  }

 private:
  // Ranks of one process leave NCCL as the last of them does. Between processes the last group of a
  // family would wait in NCCL for those that are stopped: so it asks before whether they have left.
  // In peace that takes two steps, since peers may still read what this rank's memory holds.
  bool peers_let_go(bool is_failing) {
    if (!group_.began_family()) return true;
    if (is_failing) return news_.all_are_gone(failing_patience);
    if (!news_.all_leave(settings_.deadline)) return false;
    windows_.reset();
    const bool is_closed = group_.close();
    news_.close(is_closed ? Leaving::done : Leaving::failing);
    return is_closed && news_.all_close(settings_.deadline);
  }

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    if (windows_ != nullptr && windows_->carries(rows, rows_per_rank, gathered)) {
      return gather_in_windows(rows, gathered);
    }
    run(Operation::all_gather_v, [&](GroupCall& call) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (are_equal(rows_per_rank)) {
          call.add(ncclAllGather(rows[i].data, gathered[i].data, bytes(rows[i]), ncclUint8, comm(),
                                 stream_));
          continue;
        }
        each_part(gathered[i], rows_per_rank, [&](int root, const Tensor& part) {
          const void* from = root == rank() ? rows[i].data : part.data;
          call.add(ncclBroadcast(from, part.data, bytes(part), ncclUint8, root, comm(), stream_));
        });
      }
    });
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    if (size() > ranks_in_any_order) return exchange_and_sum(*this, rows, rows_per_rank, own);
    if (windows_ != nullptr && windows_->carries(rows, rows_per_rank, own)) {
      return scatter_in_windows(rows, own);
    }
    run(Operation::reduce_scatter_v, [&](GroupCall& call) {
      const ncclDataType_t type = type_of(rows.dtype);
      if (are_equal(rows_per_rank)) {
        return call.add(
            ncclReduceScatter(rows.data, own.data, elements(own), type, ncclSum, comm(), stream_));
      }
      each_part(rows, rows_per_rank, [&](int root, const Tensor& part) {
        void* to = root == rank() ? own.data : nullptr;
        call.add(ncclReduce(part.data, to, elements(part), type, ncclSum, root, comm(), stream_));
      });
    });
  }

  void gather_in_windows(Tensors rows, Tensors gathered) {
    std::vector<Tensor> brought;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      brought.push_back(windows_->brought(rows[i], static_cast<int>(i)));
    }
    run(Operation::all_gather_v, [&](GroupCall& call) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        call.add(ncclAllGather(brought[i].data, gathered[i].data, bytes(rows[i]), ncclUint8,
                               windows_->comm(), stream_));
      }
    });
  }

  void scatter_in_windows(const Tensor& rows, const Tensor& own) {
    const Tensor arriving = windows_->arriving(own);
    run(Operation::reduce_scatter_v, [&](GroupCall& call) {
      call.add(ncclReduceScatter(rows.data, arriving.data, elements(own), type_of(own.dtype),
                                 ncclSum, windows_->comm(), stream_));
    });
    if (arriving.data != own.data) memory_.copy(arriving, own);
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    run(Operation::all_to_all_v, [&](GroupCall& call) {
      for (std::size_t i = 0; i < sent.size(); ++i) {
        each_part(sent[i], rows_to, [&](int peer, const Tensor& part) {
          if (peer == rank()) return;
          call.add(ncclSend(part.data, bytes(part), ncclUint8, peer, comm(), stream_));
        });
        each_part(received[i], rows_from, [&](int peer, const Tensor& part) {
          if (peer == rank()) return copy_own(sent[i], rows_before(rows_to, rank()), part);
          call.add(ncclRecv(part.data, bytes(part), ncclUint8, peer, comm(), stream_));
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
        call.add(ncclBroadcast(tensor.data, tensor.data, bytes(tensor), ncclUint8, root, comm(),
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
                             op == ReduceOp::sum ? ncclSum : ncclMax, comm(), stream_));
    });
  }

  void do_send(Tensors rows, int to) override {
    const auto calls = [&](GroupCall& call) {
      for (const Tensor& tensor : rows) {
        call.add(ncclSend(tensor.data, bytes(tensor), ncclUint8, to, comm(), stream_));
      }
    };
    run(Operation::send, calls, to);
  }

  void do_recv(Tensors rows, int from) override {
    const auto calls = [&](GroupCall& call) {
      for (const Tensor& tensor : rows) {
        call.add(ncclRecv(tensor.data, bytes(tensor), ncclUint8, from, comm(), stream_));
      }
    };
    run(Operation::recv, calls, from);
  }

  void do_barrier() override {
    void* word = word_.tensor().data;
    run(Operation::barrier, [&](GroupCall& call) {
      call.add(ncclAllReduce(word, word, 1, ncclInt32, ncclSum, comm(), stream_));
    });
    memory_.synchronize();
  }

  // All ranks say what they choose first: so each knows its peers, and one that is late is named.
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    const std::array<std::int64_t, 2> own = {color, key};
    const std::vector<std::int64_t> numbers = gathered_numbers(own, *this);
    const Count number = num_splits_++;
    ncclComm_t child = split_group({color, key});
    if (color < 0) return nullptr;
    std::vector<SplitChoice> choices;
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
      choices.push_back({static_cast<int>(numbers[i]), static_cast<int>(numbers[i + 1])});
    }
    const std::vector<int> ranks = ranks_of_color(choices, color);
    NcclSettings settings = settings_;
    settings.rank = static_cast<int>(std::ranges::find(ranks, rank()) - ranks.begin());
    settings.size = static_cast<int>(ranks.size());
    settings.group = text(settings_.group, "/", number, ".", color);
    settings.members.clear();
    for (const int other : ranks) {
      settings.members.push_back(news_.group().members[static_cast<std::size_t>(other)]);
    }
    return joined(settings, child);
  }

  // NCCL has windows between all ranks or none: where it has none, calls are plain.
  void open_windows() {
    windows_were_asked_for_ = true;
    if (!watch_ || !settings_.end_process || size() == 1) return;
    do_barrier();
    ncclComm_t second = waited_for_split(
        [&](const StillHopeful& still_hopeful) { return group_.windowed(still_hopeful); });
    watch_->enter(Operation::barrier);
    try {
      windows_ =
          std::make_unique<NcclRowWindows>(group_, second, WindowRank{rank(), size()}, memory_);
      watch_->leave();
    } catch (const NoWindows&) {
      watch_->leave();
    } catch (const SystemError& error) {
      watch_->fail(error.what());
    }
  }

  // NCCL's split, which every rank comes to.
  ncclComm_t split_group(NcclGroup::Share share) {
    MOE_CHECK(watch_.has_value(), "bare groups are not split");
    return waited_for_split(
        [&](const StillHopeful& still_hopeful) { return group_.split(share, still_hopeful); });
  }

  template <typename Split>
  ncclComm_t waited_for_split(const Split& split) {
    watch_->enter(Operation::split, -1, OperationWatch::LookedAfter::by_rank);
    try {
      ncclComm_t child = split([&] { throw_if_absent(watch_->num_collectives() - 1); });
      watch_->leave();
      return child;
    } catch (const LatePeer&) {
      watch_->fail(std::nullopt);
    } catch (const SystemError& error) {
      watch_->fail(error.what());
    }
  }

  std::unique_ptr<Communicator> joined(const NcclSettings& settings, ncclComm_t child) {
    return std::make_unique<NcclCommunicator>(settings, news_.store(), memory_, group_.family(),
                                              [child](ncclComm_t* comm, ncclConfig_t*) {
                                                *comm = child;
                                                return ncclSuccess;
                                              });
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

  // One operation: a group of calls. peer: the one that it waits for, -1: all.
  template <typename Calls>
  void run(Operation operation, Calls calls, int peer = -1) {
    if (watch_) watch_->enter(operation, peer);
    GroupCall call;
    calls(call);
    const ncclResult_t result = call.end();
    if (is_error(result)) fail(result);
    if (!watch_) return;
    const bool is_kept = queue_->is_recording();
    watch_->leave(is_kept ? OperationWatch::Queued::recorded : OperationWatch::Queued::for_real);
  }

  // Where the watch has ended the call its words are thrown: NCCL only says that it was aborted.
  [[noreturn]] void fail(ncclResult_t result) {
    const std::string words = group_.words_of(result);
    if (!watch_) throw SystemError(words);
    watch_->fail(words);
  }

  // While a collective waits for others on the host.
  void throw_if_absent(Count collective) const {
    const auto absence = news_.absence(collective, -1);
    if (absence) throw SystemError(*absence);
  }

  static std::vector<int> members_of(const NcclSettings& settings) {
    if (!settings.members.empty()) return settings.members;
    std::vector<int> members(static_cast<std::size_t>(settings.size));
    std::iota(members.begin(), members.end(), 0);
    return members;
  }

  ncclComm_t comm() const { return group_.comm(); }

  const NcclSettings settings_;
  const PeerNews news_;
  Memory& memory_;
  DeviceQueue* queue_;
  cudaStream_t stream_;
  Buffer word_;  // of barriers
  NcclGroup group_;
  int num_exceptions_;  // under way when it was made
  Count num_splits_ = 0;
  bool windows_were_asked_for_ = false;
  std::unique_ptr<NcclRowWindows> windows_;  // null: none, or nobody has asked yet
  std::optional<OperationWatch> watch_;
};

std::unique_ptr<Communicator> make(const NcclSettings& settings, StoreClient& store,
                                   Memory& memory) {
  check_nccl_version();
  MOE_CHECK(queue_of(memory) != nullptr, "NCCL moves the memory of devices only");
  const ncclUniqueId id = nccl_identity(settings, store);
  return std::make_unique<NcclCommunicator>(
      settings, store, memory, nullptr, [&](ncclComm_t* comm, ncclConfig_t* config) {
        return ncclCommInitRankConfig(comm, settings.size, id, settings.rank, config);
      });
}

std::unique_ptr<Communicator> make_bare(Communicator& group) {
  return dynamic_cast<NcclCommunicator&>(group).bare();
}

std::unique_ptr<SymmetricMemory> make_window(Communicator& group, Count bytes) {
  return dynamic_cast<NcclCommunicator&>(group).window(bytes);
}

}  // namespace

const NcclMaker nccl_maker = {make, make_bare, make_window, nccl_version, nullptr};

}  // namespace moe
