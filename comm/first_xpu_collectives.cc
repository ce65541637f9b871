// The lists of the first version: one tensor where all sizes are equal, else one for each rank of
// the group, where torch asks for one for each rank of the world. UNVERIFIED: that every rank gets
// torch's error before anything moves; XCCL may as well write beyond the list.

#include "comm/first_xpu_collectives.h"

#include <utility>

#include "comm/forwarding_communicator.h"
#include "comm/row_counts.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

class FirstXpuCollectives final : public ForwardingCommunicator {
 public:
  FirstXpuCollectives(std::unique_ptr<Communicator> group, int world_size)
      : ForwardingCommunicator(std::move(group)), world_size_(world_size) {}

 private:
  // vLLM leaves before torch where the group has one rank.
  void check_list(std::string_view call, Count length) const {
    if (size() == 1 || length == world_size_) return;
    throw RefusedCallError(text(call, " without a group runs on the world: a list of ", length,
                                " for its ", world_size_, " ranks, of a group of ", size()));
  }

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    check_list("all_gather", are_equal(rows_per_rank) ? 1 : size());
    inner().all_gather_v(rows, rows_per_rank, gathered);
  }

  // Equal parts go by reduce_scatter_tensor, which cuts the rows into as many as the world's ranks.
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    check_list(are_equal(rows_per_rank) ? "reduce_scatter_tensor" : "reduce_scatter", size());
    inner().reduce_scatter_v(rows, rows_per_rank, own);
  }

  int world_size_;
};

}  // namespace

std::unique_ptr<Communicator> with_first_xpu_collectives(std::unique_ptr<Communicator> group,
                                                         int world_size) {
  return std::make_unique<FirstXpuCollectives>(std::move(group), world_size);
}

}  // namespace moe
