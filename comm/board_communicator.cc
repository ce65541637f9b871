// A meeting: each rank fills its slot, says that it has come, and the last rings the bell. Rows of
// slots take turns: whoever fills a row again knows from the meeting between that all have read it.

#include "comm/board_communicator.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "comm/agreement.h"
#include "comm/split.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;
using Word = std::atomic_ref<std::uint32_t>;

// How long a rank that misses several waits for a word of those among them that wait for the same
// one over a wire: Gloo's ranks need up to 300 ms to find out whom to blame.
constexpr std::chrono::milliseconds grace{500};

// A group's ranks, by their numbers in the world, and the area that they share.
struct BoardGroup {
  int area = Board::world_area;
  int rank = 0;  // in the group
  std::vector<int> ranks;
  GroupWords words = {};  // what messages call it
};

// The first bytes of a slot: what its record is.
struct SlotHead {
  std::int32_t operation = 0;
  std::int32_t bytes = 0;
};

// What a rank shows in a split.
struct Choice {
  SplitChoice split;
  std::int32_t world_rank = 0;
  std::int32_t num_led = 0;
};

class BoardCommunicator final : public Communicator {
 public:
  BoardCommunicator(Board& board, BoardGroup group, Memory& memory)
      : board_(board),
        group_(std::move(group)),
        memory_(memory),
        area_(board.area(group_.area, static_cast<int>(group_.ranks.size()))),
        slot_bytes_(board.slot_bytes()) {}

  int rank() const override { return group_.rank; }
  int size() const override { return static_cast<int>(group_.ranks.size()); }
  Memory& memory() override { return memory_; }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    const Count count = rows_per_rank[0];
    MOE_CHECK(std::ranges::count(rows_per_rank, count) == size(),
              text("a board takes as many rows of each rank, not [", joined(rows_per_rank), "]"));
    Count bytes = 0;
    for (const Tensor& tensor : rows) bytes += bytes_of(tensor);
    std::byte* to =
        open_slot({static_cast<std::int32_t>(Operation::all_gather_v), checked_bytes(bytes)});
    for (const Tensor& tensor : rows) {
      memory_.copy_to_host(tensor, on_board(to, tensor));
      to += bytes_of(tensor);
    }
    meet(Operation::all_gather_v);
    for (int peer = 0; peer < size(); ++peer) {
      std::byte* from = record_of(peer);
      for (const Tensor& tensor : gathered) {
        const Tensor part = rows_of(tensor, peer * count, count);
        memory_.copy_from_host(on_board(from, part), part);
        from += bytes_of(part);
      }
    }
  }

  void do_barrier() override {
    open_slot({static_cast<std::int32_t>(Operation::barrier), 0});
    meet(Operation::barrier);
  }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    const Choice own{{color, key}, world_rank(rank()), board_.num_led()};
    std::byte* const to = open_slot({static_cast<std::int32_t>(Operation::split), sizeof own});
    std::memcpy(to, &own, sizeof own);
    meet(Operation::split);
    if (color < 0) return nullptr;
    std::vector<Choice> choices(group_.ranks.size());
    std::vector<SplitChoice> colors;
    for (int peer = 0; peer < size(); ++peer) {
      Choice& choice = choices[static_cast<std::size_t>(peer)];
      std::memcpy(&choice, record_of(peer), sizeof choice);
      colors.push_back(choice.split);
    }
    const std::vector<int> members = ranks_of_color(colors, color);
    const Choice& leader = choices[static_cast<std::size_t>(members[0])];
    BoardGroup group{.area = board_.area_led_by(leader.world_rank, leader.num_led)};
    if (members[0] == rank()) board_.lead_another();
    for (const int member : members) group.ranks.push_back(world_rank(member));
    group.rank = static_cast<int>(std::ranges::find(members, rank()) - members.begin());
    group.words = {text("[", joined(group.ranks), "]"), group.ranks};
    return std::make_unique<BoardCommunicator>(board_, std::move(group), memory_);
  }

  void do_reduce_scatter_v(const Tensor&, RowCounts, const Tensor&) override {
    refuse(Operation::reduce_scatter_v);
  }
  void do_all_to_all_v(Tensors, RowCounts, RowCounts, Tensors) override {
    refuse(Operation::all_to_all_v);
  }
  void do_broadcast(Tensors, int) override { refuse(Operation::broadcast); }
  void do_all_reduce(const Tensor&, ReduceOp, const Tensor&) override {
    refuse(Operation::all_reduce);
  }
  void do_send(Tensors, int) override { refuse(Operation::send); }
  void do_recv(Tensors, int) override { refuse(Operation::recv); }

  [[noreturn]] static void refuse(Operation operation) {
    throw ContractError(text("a board moves records of ranks, not rows: ", name_of(operation),
                             " asked of one; it can all_gather_v, barrier and split"));
  }

  int world_rank(int rank) const { return group_.ranks[static_cast<std::size_t>(rank)]; }

  // The same rows as they lie in a slot.
  static Tensor on_board(std::byte* data, const Tensor& rows) {
    return {data, rows.rows, rows.columns, rows.dtype, {}};
  }

  std::int32_t checked_bytes(Count bytes) const {
    const Count most = slot_bytes_ - static_cast<Count>(sizeof(SlotHead));
    MOE_CHECK(bytes <= most, text("a record of ", bytes, " bytes for a board that takes ", most));
    return static_cast<std::int32_t>(bytes);
  }

  std::byte* slot_of(int rank) const {
    const Count row = meetings_ % 2;
    return area_.slots + (row * size() + rank) * slot_bytes_;
  }
  std::byte* record_of(int rank) const { return slot_of(rank) + sizeof(SlotHead); }
  SlotHead head_of(int rank) const {
    SlotHead head;
    std::memcpy(&head, slot_of(rank), sizeof head);
    return head;
  }

  // The next meeting's slot of this rank. RETURNS the place of its record.
  std::byte* open_slot(SlotHead head) {
    if (const auto why = board_.broken()) throw SystemError(*why);
    ++meetings_;
    std::memcpy(slot_of(rank()), &head, sizeof head);
    return record_of(rank());
  }

  // Comes to the meeting and waits until all have. After it their slots may be read until this
  // rank's next one.
  void meet(Operation operation) {
    const auto before = static_cast<std::uint32_t>(2 * (meetings_ - 1));
    Word(area_.arrived[static_cast<std::size_t>(rank())]) = static_cast<std::uint32_t>(meetings_);
    if (are_all_here()) {
      board_.ring(area_, before);
    } else {
      wait(operation, before);
    }
    check_in_step(operation);
  }

  void wait(Operation operation, std::uint32_t before) {
    const std::chrono::milliseconds deadline = board_.settings().deadline;
    const Clock::time_point end = Clock::now() + deadline;
    if (board_.await_ring(area_, before, end)) return;
    if (late_ranks().size() > 1 && board_.await_ring(area_, before, end + grace)) return;
    const std::vector<int> late = late_ranks();
    // All are here and the last was stopped before it rang: anybody may.
    if (late.empty()) return board_.ring(area_, before);
    if (board_.await_ring(area_, before, Clock::now())) return;  // they came just now
    fail(text(ranks_text(late), " did not reach ", words_of(operation), " within ",
              deadline.count(), " ms"));
  }

  bool is_here(int peer) const {
    const std::uint32_t arrived = Word(area_.arrived[static_cast<std::size_t>(peer)]);
    return arrived == static_cast<std::uint32_t>(meetings_);
  }

  bool are_all_here() const {
    for (int peer = 0; peer < size(); ++peer) {
      if (!is_here(peer)) return false;
    }
    return true;
  }

  // By their numbers in the world.
  std::vector<int> late_ranks() const {
    std::vector<int> late;
    for (int peer = 0; peer < size(); ++peer) {
      if (!is_here(peer)) late.push_back(world_rank(peer));
    }
    return late;
  }

  void check_in_step(Operation operation) {
    const SlotHead own = head_of(rank());
    for (int peer = 0; peer < size(); ++peer) {
      const SlotHead theirs = head_of(peer);
      if (theirs.operation != own.operation) {
        fail(text("ranks are out of step: rank ", world_rank(rank()), " is at ",
                  words_of(operation), ", rank ", world_rank(peer), " at ",
                  words_of(static_cast<Operation>(theirs.operation))));
      }
      if (theirs.bytes != own.bytes) {
        fail(text(words_of(operation), ": rank ", world_rank(peer), " shows ", theirs.bytes,
                  " bytes where rank ", world_rank(rank()), " expects ", own.bytes));
      }
    }
  }

  // "operation 7 of group [1, 3] (all_gather_v)"; operations count from 0.
  std::string words_of(Operation operation) const {
    return operation_text({.number = meetings_ - 1, .operation = operation}, {}, group_.words);
  }

  [[noreturn]] void fail(const std::string& why) {
    board_.abort(why);
    throw SystemError(*board_.broken());
  }

  Board& board_;
  const BoardGroup group_;
  Memory& memory_;
  const Board::Area area_;
  const Count slot_bytes_;
  Count meetings_ = 0;  // that this rank has come to
};

}  // namespace

std::unique_ptr<Communicator> make_board_communicator(Board& board, Memory& memory) {
  BoardGroup world{.rank = board.rank(),
                   .ranks = std::vector<int>(static_cast<std::size_t>(board.settings().size))};
  std::iota(world.ranks.begin(), world.ranks.end(), 0);
  return std::make_unique<BoardCommunicator>(board, std::move(world), memory);
}

}  // namespace moe
