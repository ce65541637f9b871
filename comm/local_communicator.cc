// One rank of a local group: meets its peers, copies from the tensors they show, leaves when nobody
// reads any more. Where ranks show different things, the referee says so instead of copying.

#include "comm/local_communicator.h"

#include "comm/exchange_sum.h"
#include "comm/local_group.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using State = LocalGroup::State;

// One rank's stay in one collective: from the meeting of all to the moment when nobody reads. A
// device's queue is empty at both doors: what a rank shows is written, what it copies is read.
class Stay {
 public:
  Stay(State& group, int rank, const Shown& shown, Memory& memory) : group_(group), rank_(rank) {
    memory.synchronize();
    group_.enter(rank, shown);
  }
  ~Stay() { group_.exit(); }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;

  const Shown& shown_by(int peer) const { return group_.shown_by(peer); }

  // Throws when a peer is in another operation.
  void check_in_step() const {
    const Operation mine = shown_by(rank_).operation;
    for (int peer = 0; peer < group_.size(); ++peer) {
      const Operation other = shown_by(peer).operation;
      if (other == mine) continue;
      fail(text("ranks are out of step: rank ", rank_, " is at ", group_.current(rank_), ", rank ",
                peer, " at ", group_.current(peer)));
    }
  }

  // A peer's rows as it shows them, if they are those that this rank waits for.
  Tensor rows_from(int peer, std::size_t index, Count begin, const Tensor& to) const {
    const Tensors tensors = shown_by(peer).tensors;
    if (index >= tensors.size()) disagree(peer, text("no tensor ", index), to);
    const Tensor& from = tensors[index];
    const bool fits = from.columns == to.columns && from.dtype == to.dtype;
    if (!fits || begin + to.rows > from.rows) disagree(peer, shape_text(from), to);
    return rows_of(from, begin, to.rows);
  }

  void check_rows(int peer, Count theirs, Count mine) const {
    if (theirs == mine) return;
    fail(text(group_.current(rank_), ": rank ", peer, " gives ", theirs, " rows where rank ", rank_,
              " expects ", mine));
  }

  [[noreturn]] void fail(const std::string& why) const {
    group_.abort(why);
    throw SystemError(why);
  }

 private:
  [[noreturn]] void disagree(int peer, const std::string& theirs, const Tensor& mine) const {
    fail(text(group_.current(rank_), ": rank ", peer, " shows ", theirs, " where rank ", rank_,
              " expects ", shape_text(mine)));
  }

  State& group_;
  int rank_;
};

// A receiver's stay with what a sender offers.
class Taking {
 public:
  Taking(State& group, std::pair<int, int> from_to)
      : group_(group), from_to_(from_to), offered_(group.await_offer(from_to)) {}
  ~Taking() { group_.taken(from_to_); }
  Taking(const Taking&) = delete;
  Taking& operator=(const Taking&) = delete;

  Tensors offered() const { return offered_; }

 private:
  State& group_;
  std::pair<int, int> from_to_;
  Tensors offered_;
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(State& group, int rank, Memory& memory)
      : group_(group), rank_(rank), memory_(memory) {
    group_.take(rank);
  }
  ~LocalCommunicator() override { group_.leave(rank_); }

  int rank() const override { return rank_; }
  int size() const override { return group_.size(); }
  Memory& memory() override { return memory_; }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    const Shown shown{.operation = Operation::all_gather_v, .tensors = rows};
    const Stay stay(group_, rank_, shown, memory_);
    stay.check_in_step();
    Count begin = 0;
    for (int peer = 0; peer < size(); ++peer) {
      const Count count = rows_per_rank[static_cast<std::size_t>(peer)];
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const Tensor to = rows_of(gathered[i], begin, count);
        const Tensor from = stay.rows_from(peer, i, 0, to);
        stay.check_rows(peer, stay.shown_by(peer).tensors[i].rows, count);
        copy(from, to);
      }
      begin += count;
    }
    memory_.synchronize();
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    exchange_and_sum(*this, rows, rows_per_rank, own);
    memory_.synchronize();
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    const Shown shown{.operation = Operation::all_to_all_v, .tensors = sent, .counts = rows_to};
    const Stay stay(group_, rank_, shown, memory_);
    stay.check_in_step();
    Count begin = 0;
    for (int peer = 0; peer < size(); ++peer) {
      const RowCounts theirs = stay.shown_by(peer).counts;
      const Count count = rows_from[static_cast<std::size_t>(peer)];
      stay.check_rows(peer, theirs[static_cast<std::size_t>(rank_)], count);
      for (std::size_t i = 0; i < received.size(); ++i) {
        const Tensor to = rows_of(received[i], begin, count);
        copy(stay.rows_from(peer, i, rows_before(theirs, rank_), to), to);
      }
      begin += count;
    }
    memory_.synchronize();
  }

  void do_broadcast(Tensors rows, int root) override {
    const Shown shown{.operation = Operation::broadcast, .tensors = rows, .root = root};
    const Stay stay(group_, rank_, shown, memory_);
    stay.check_in_step();
    const int theirs = stay.shown_by(root).root;
    if (theirs != root) {
      stay.fail(text(group_.current(rank_), ": rank ", rank_, " waits for root ", root,
                     ", which waits for root ", theirs));
    }
    if (root == rank_) return;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Tensor from = stay.rows_from(root, i, 0, rows[i]);
      stay.check_rows(root, stay.shown_by(root).tensors[i].rows, rows[i].rows);
      copy(from, rows[i]);
    }
    memory_.synchronize();
  }

  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    exchange_and_reduce(*this, in, op, out);
  }

  void do_send(Tensors rows, int to) override {
    memory_.synchronize();
    group_.offer({rank_, to}, rows);
  }

  void do_recv(Tensors rows, int from) override {
    const Taking taking(group_, {from, rank_});
    const Tensors offered = taking.offered();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool given = offered.size() == rows.size();
      const std::string theirs = given ? shape_text(offered[i]) : text(offered.size(), " tensors");
      if (!given || theirs != shape_text(rows[i])) {
        const std::string why = text("rank ", from, " sends ", theirs, " where rank ", rank_,
                                     " expects ", shape_text(rows[i]));
        group_.abort(why);
        throw SystemError(why);
      }
      memory_.copy(offered[i], rows[i]);
    }
    memory_.synchronize();
  }

  void do_barrier() override {
    const Shown shown{.operation = Operation::barrier};
    Stay(group_, rank_, shown, memory_).check_in_step();
  }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    const Shown shown{.operation = Operation::split, .choice = {color, key}};
    const Stay stay(group_, rank_, shown, memory_);
    stay.check_in_step();
    if (color < 0) return nullptr;
    std::vector<SplitChoice> choices;
    for (int peer = 0; peer < size(); ++peer) choices.push_back(stay.shown_by(peer).choice);
    const std::vector<int> ranks = ranks_of_color(choices, color);
    const auto own = std::ranges::find(ranks, rank_) - ranks.begin();
    State& child = group_.child(color, static_cast<int>(ranks.size()));
    return std::make_unique<LocalCommunicator>(child, static_cast<int>(own), memory_);
  }

  // Rows that already lie where they belong stay untouched: peers may be reading them.
  void copy(const Tensor& from, const Tensor& to) {
    if (from.data != to.data) memory_.copy(from, to);
  }

  State& group_;
  int rank_;
  Memory& memory_;
};

}  // namespace

LocalGroup::LocalGroup(int size, std::chrono::milliseconds deadline) {
  MOE_CHECK(size > 0, text("a group of ", size, " ranks"));
  state_ = std::make_unique<State>(size, deadline);
}

LocalGroup::~LocalGroup() = default;

std::unique_ptr<Communicator> LocalGroup::communicator(int rank, Memory& memory) {
  return std::make_unique<LocalCommunicator>(*state_, rank, memory);
}

void LocalGroup::abort(const std::string& why) { state_->abort(why); }

}  // namespace moe
