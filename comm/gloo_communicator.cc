// Gloo over TCP, the one file that knows its headers. Collectives are posted directly on unbound
// buffers, all messages at once, one buffer each, so that a failure names its peer. A message's
// slot holds its operation's number and its size: ranks that disagree wait in vain and say for
// whom, while Gloo would end the process at a message longer than its buffer.

#include "comm/gloo_communicator.h"

#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>

#include "comm/broken_pipe.h"
#include "comm/exchange_sum.h"
#include "comm/failure_notes.h"
#include "comm/gloo_moves.h"
#include "comm/packed_messages.h"
#include "comm/patient_threads.h"
#include "comm/split.h"
#include "comm/stuck_watch.h"
#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using UnboundBuffer = std::unique_ptr<gloo::transport::UnboundBuffer>;

// Never waited for as long as Gloo asks: the deadline is the group's.
class MeshStore final : public gloo::rendezvous::Store {
 public:
  MeshStore(StoreClient& store, const GlooSettings& settings)
      : store_(store), settings_(settings), end_(Clock::now() + settings.deadline) {}

  void set(const std::string& key, const std::vector<char>& data) override {
    store_.set(full(key), {data.begin(), data.end()});
  }

  std::vector<char> get(const std::string& key) override {
    const auto left = std::chrono::duration_cast<milliseconds>(end_ - Clock::now());
    const auto value = store_.get(full(key), std::max(left, milliseconds(1)));
    if (value) return {value->begin(), value->end()};
    const std::vector<int> lost = store_.lost_members();
    throw SystemError(text("rank ", settings_.rank, ": ", rank_of(key), " did not come to group '",
                           settings_.group, "' within ", settings_.deadline.count(), " ms",
                           lost.empty() ? "" : text("; members lost: ", joined(lost))));
  }

  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) get(key);
  }
  void wait(const std::vector<std::string>& keys, const milliseconds&) override { wait(keys); }

 private:
  std::string full(const std::string& key) const {
    return text("gloo/", settings_.group, "/", key);
  }

  // Gloo's keys are "rank_2" and "2".
  static std::string rank_of(const std::string& key) {
    return text("rank ", key.substr(key.find('_') + 1));
  }

  StoreClient& store_;
  const GlooSettings& settings_;
  const Clock::time_point end_;
};

// Gloo's thread gives up a pair that is in use and tries again at once: where it shares a core with
// the rank, it must not take the core while the rank posts a message.
std::shared_ptr<gloo::transport::Device> patient_device(const gloo::transport::tcp::attr& where) {
  const PatientThreads patient;
  return gloo::transport::tcp::CreateDevice(where);
}

std::shared_ptr<gloo::Context> connected_mesh(const GlooSettings& settings, StoreClient& store) {
  if (settings.size == 1) return nullptr;
  const QuietBrokenPipe quiet;
  MeshStore keys(store, settings);
  try {
    gloo::transport::tcp::attr where;
    where.hostname = settings.host;
    std::shared_ptr<gloo::transport::Device> device = patient_device(where);
    auto mesh = std::make_shared<gloo::rendezvous::Context>(settings.rank, settings.size);
    // Gloo waits five times as long for a connection.
    mesh->setTimeout(std::max(settings.deadline / 5, milliseconds(1)));
    mesh->connectFullMesh(keys, device);
    return mesh;
  } catch (const SystemError&) {
    throw;
  } catch (const std::exception& error) {
    throw SystemError(text("rank ", settings.rank, ": group '", settings.group,
                           "' cannot connect on ", settings.host, ": ", error.what()));
  }
}

enum class Direction { sent, received };

// Messages that are under way. Dropping it ends all access to their memory.
class Exchange {
 public:
  Exchange(gloo::Context& mesh, WireSlot slot_of) : mesh_(mesh), slot_of_(slot_of) {}

  void post(const WireMessage& message, Direction direction) {
    const std::uint64_t slot = slot_of_(message);
    const auto bytes = static_cast<std::size_t>(bytes_of(message.rows));
    Posted& posted = posted_.emplace_back(Posted{message.peer, direction, nullptr, false});
    posted.buffer = mesh_.createUnboundBuffer(message.rows.data, bytes);
    try {
      if (direction == Direction::sent) posted.buffer->send(message.peer, slot, 0, bytes);
      if (direction == Direction::received) posted.buffer->recv(message.peer, slot, 0, bytes);
    } catch (const std::exception&) {
      failure_.closed.insert(message.peer);
    }
  }

  // RETURNS an empty failure when the first num_messages of those posted are done.
  WireFailure wait(std::size_t num_messages, Clock::time_point end, StuckWatch& watch) {
    const StuckWatch::Work work(watch, [this] { look(); });
    for (; num_done_ < std::min(num_messages, posted_.size()) && !failure_.any(); ++num_done_) {
      Posted& posted = posted_[num_done_];
      waited_for_ = &posted;
      posted.done =
          waited(posted, end) || (is_aborted_.exchange(false) && waited(posted, Clock::now()));
      waited_for_ = nullptr;
      if (!posted.done) find_culprits();
    }
    return failure_;
  }

 private:
  struct Posted {
    int peer;
    Direction direction;
    UnboundBuffer buffer;
    bool done;
  };

  // Gloo does not end the wait for a message of which a part has come or gone when its peer dies.
  // THREAD: the watch's.
  void look() {
    Posted* const stuck = waited_for_.load();
    if (stuck == nullptr || is_aborted_) return;
    try {
      const QuietBrokenPipe quiet;
      mesh_.createUnboundBuffer(nullptr, 0)->recv(stuck->peer, slot_of_.of_none(), 0, 0);
    } catch (const std::exception&) {
      is_aborted_ = true;
      if (stuck->direction == Direction::sent) stuck->buffer->abortWaitSend();
      if (stuck->direction == Direction::received) stuck->buffer->abortWaitRecv();
    }
  }

  static bool waited(Posted& posted, Clock::time_point end) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    const milliseconds patience = std::max(left, milliseconds(0));
    try {
      return posted.direction == Direction::sent ? posted.buffer->waitSend(patience)
                                                 : posted.buffer->waitRecv(patience);
    } catch (const std::exception&) {
      return false;
    }
  }

  // The first message that failed has told all pairs; each pair now says what it knows.
  void find_culprits() {
    for (Posted& posted : posted_) {
      if (posted.done || waited(posted, Clock::now())) continue;
      try {
        posted.buffer->recv(posted.peer, slot_of_({}), 0, 0);
      } catch (const std::exception& error) {
        const bool by_us = std::string_view(error.what()).find("timeout") != std::string_view::npos;
        (by_us ? failure_.silent : failure_.closed).insert(posted.peer);
      }
    }
  }

  gloo::Context& mesh_;
  WireSlot slot_of_;
  std::vector<Posted> posted_;
  std::size_t num_done_ = 0;
  WireFailure failure_;
  std::atomic<Posted*> waited_for_ = nullptr;
  std::atomic<bool> is_aborted_ = false;
};

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(const GlooSettings& settings, StoreClient& store, Memory& memory)
      : settings_(settings),
        store_(store),
        memory_(memory),
        mesh_(connected_mesh(settings, store)),
        num_sent_(static_cast<std::size_t>(settings.size), 0),
        num_received_(static_cast<std::size_t>(settings.size), 0) {
    if (mesh_ != nullptr) watch_.emplace();
    // A rank may have nothing to do but leave: not before all others are connected.
    do_barrier();
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }
  Memory& memory() override { return memory_; }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    run(Operation::all_gather_v, all_gather_moves(rank(), rows, rows_per_rank, gathered));
  }

  // Each piece is added as soon as it has come from all ranks, while later ones are on their way.
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    const Buffer others(memory_, {own.rows * (size() - 1), own.columns, own.dtype});
    const SumMoves moves = reduce_scatter_moves(rank(), rows, rows_per_rank, others.tensor(), own);
    Wire wire = posted({Operation::reduce_scatter_v, number_++}, moves.received, moves.sent);
    std::size_t num_received = 0;
    for (const SumPiece& piece : moves.pieces) {
      finish(wire, num_received += piece.num_messages);
      memory_.add_rows(piece.operands, piece.sum);
    }
    finish(wire, everything);
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    run(Operation::all_to_all_v, all_to_all_moves(rank(), sent, rows_to, rows_from, received));
  }

  void do_broadcast(Tensors rows, int root) override {
    run(Operation::broadcast, broadcast_moves(rank(), size(), rows, root));
  }

  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    whole_ = Operation::all_reduce;
    exchange_and_reduce(*this, in, op, out);
    whole_.reset();
  }

  void do_send(Tensors rows, int to) override {
    Moves moves;
    for (const Tensor& tensor : rows) {
      moves.sent.push_back({to, static_cast<int>(moves.sent.size()), tensor});
    }
    exchange({Operation::send, num_sent_[static_cast<std::size_t>(to)]++}, moves);
  }

  void do_recv(Tensors rows, int from) override {
    Moves moves;
    for (const Tensor& tensor : rows) {
      moves.received.push_back({from, static_cast<int>(moves.received.size()), tensor});
    }
    exchange({Operation::recv, num_received_[static_cast<std::size_t>(from)]++}, moves);
  }

  void do_barrier() override { run(Operation::barrier, barrier_moves(rank(), size())); }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    const std::vector<SplitChoice> choices = all_choices({color, key});
    if (color < 0) return nullptr;
    const std::vector<int> ranks = ranks_of_color(choices, color);
    GlooSettings settings = settings_;
    settings.rank = static_cast<int>(std::ranges::find(ranks, rank()) - ranks.begin());
    settings.size = static_cast<int>(ranks.size());
    settings.group = text(settings_.group, "/", number_, ".", color);
    return std::make_unique<GlooCommunicator>(settings, store_, memory_);
  }

  std::vector<SplitChoice> all_choices(SplitChoice own) {
    std::vector<SplitChoice> choices(static_cast<std::size_t>(size()));
    const Buffer mine(memory_, {1, 2, DType::i32});
    const Buffer all(memory_, {size(), 2, DType::i32});
    memory_.copy_from_host({&own, 1, 2, DType::i32, {}}, mine.tensor());
    const std::vector<Count> rows_per_rank(choices.size(), 1);
    all_gather_v({&mine.tensor(), 1}, rows_per_rank, {&all.tensor(), 1});
    memory_.copy_to_host(all.tensor(), {choices.data(), size(), 2, DType::i32, {}});
    return choices;
  }

  void run(Operation operation, const Moves& moves) { exchange({operation, number_++}, moves); }

  void exchange(WireSlot slot_of, const Moves& moves) {
    PackedMessages sent(moves.sent, memory_);
    PackedMessages received(moves.received, memory_);
    sent.pack();
    Wire wire = posted(slot_of, received.messages(), sent.messages());
    for (const auto& [from, to] : moves.kept) {
      if (from.data != to.data) memory_.copy(from, to);
    }
    finish(wire, everything);
    received.unpack();
  }

  // An operation's messages under way: none in a group of one.
  struct Wire {
    WireSlot slot_of;
    Clock::time_point end;
    std::unique_ptr<Exchange> messages;
  };

  // Receives first: a send whose receiver is ready goes out at once.
  Wire posted(WireSlot slot_of, const std::vector<WireMessage>& received,
              const std::vector<WireMessage>& sent) {
    if (broken_) throw SystemError(*broken_);
    Wire wire{slot_of, Clock::now() + settings_.deadline, nullptr};
    if (mesh_ == nullptr) return wire;
    wire.messages = std::make_unique<Exchange>(*mesh_, slot_of);
    const QuietBrokenPipe quiet;
    for (const WireMessage& message : received) wire.messages->post(message, Direction::received);
    for (const WireMessage& message : sent) wire.messages->post(message, Direction::sent);
    return wire;
  }

  static constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

  // Until the first num_messages of those posted are done.
  void finish(Wire& wire, std::size_t num_messages) {
    if (wire.messages == nullptr) return;
    const WireFailure failure = wire.messages->wait(num_messages, wire.end, *watch_);
    if (!failure.any()) return;
    wire.messages.reset();
    mesh_.reset();  // peers that wait for this rank learn it at once
    const NoteWriter writer{settings_.group, rank(), settings_.deadline};
    const FailureNote note{wire.slot_of.words(settings_.group, whole_), failure};
    broken_ = text("rank ", rank(), ": ", note.what, ": ", blame(note, writer, store_));
    throw SystemError(*broken_);
  }

  const GlooSettings settings_;
  StoreClient& store_;
  Memory& memory_;
  std::shared_ptr<gloo::Context> mesh_;  // null for a group of one, and after a failure
  Count number_ = before_first;
  std::vector<Count> num_sent_;
  std::vector<Count> num_received_;
  std::optional<Operation> whole_;  // that the current one is part of, for messages
  std::optional<std::string> broken_;
  std::optional<StuckWatch> watch_;  // where there is a mesh
};

std::unique_ptr<Communicator> make_gloo(const GlooSettings& settings, StoreClient& store,
                                        Memory& memory) {
  MOE_CHECK(settings.size > 0 && settings.rank >= 0 && settings.rank < settings.size,
            text("rank ", settings.rank, " of a group of ", settings.size, " ranks"));
  MOE_CHECK(memory.stream().device.kind == DeviceKind::cpu,
            text("Gloo moves host memory, not that of ", name_of(memory.stream().device.kind)));
  return std::make_unique<GlooCommunicator>(settings, store, memory);
}

}  // namespace

const GlooMaker gloo_maker = {make_gloo, ""};

}  // namespace moe
