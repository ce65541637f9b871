// The lists of the first version: one tensor where all sizes are equal, else one for each rank of
// the group, where torch asks for one for each rank of the world. UNVERIFIED: that every rank gets
// torch's error before anything moves; XCCL may as well write beyond the list.

#include "comm/first_xpu_collectives.h"

#include <algorithm>
#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

bool are_equal(RowCounts rows_per_rank) {
  return std::ranges::all_of(rows_per_rank, [&](Count rows) { return rows == rows_per_rank[0]; });
}

class FirstXpuCollectives final : public Communicator {
 public:
  FirstXpuCollectives(std::unique_ptr<Communicator> group, int world_size)
      : group_(std::move(group)), world_size_(world_size) {}

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  Memory& memory() override { return group_->memory(); }
  Count staged_bytes() const override { return group_->staged_bytes(); }

 private:
  // vLLM leaves before torch where the group has one rank.
  void check_list(std::string_view call, Count length) const {
    if (size() == 1 || length == world_size_) return;
    throw SystemError(text(call, " without a group runs on the world: a list of ", length,
                           " for its ", world_size_, " ranks, of a group of ", size()));
  }

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    check_list("all_gather", are_equal(rows_per_rank) ? 1 : size());
    group_->all_gather_v(rows, rows_per_rank, gathered);
  }

  // Equal parts go by reduce_scatter_tensor, which cuts the rows into as many as the world's ranks.
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    check_list(are_equal(rows_per_rank) ? "reduce_scatter_tensor" : "reduce_scatter", size());
    group_->reduce_scatter_v(rows, rows_per_rank, own);
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    group_->all_to_all_v(sent, rows_to, rows_from, received);
  }
  void do_broadcast(Tensors rows, int root) override { group_->broadcast(rows, root); }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    group_->all_reduce(in, op, out);
  }
  void do_send(Tensors rows, int to) override { group_->send(rows, to); }
  void do_recv(Tensors rows, int from) override { group_->recv(rows, from); }
  void do_barrier() override { group_->barrier(); }
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    return group_->split(color, key);
  }

  std::unique_ptr<Communicator> group_;
  int world_size_;
};

}  // namespace

std::unique_ptr<Communicator> with_first_xpu_collectives(std::unique_ptr<Communicator> group,
                                                         int world_size) {
  return std::make_unique<FirstXpuCollectives>(std::move(group), world_size);
}

}  // namespace moe
