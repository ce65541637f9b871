// Delays are drawn by the endpoint's own generator, which the machine's entropy seeds.
// Used innermost, around the wire: checks have agreed on an operation before its ranks are late.

#include "comm/delaying_communicator.h"

#include <random>
#include <thread>
#include <utility>

#include "comm/forwarding_communicator.h"

namespace moe {
namespace {

using std::chrono::microseconds;

class DelayingCommunicator final : public ForwardingCommunicator {
 public:
  DelayingCommunicator(std::unique_ptr<Communicator> inner, microseconds delay_max)
      : ForwardingCommunicator(std::move(inner)), delay_max_(delay_max) {}

 private:
  Communicator& late() {
    std::uniform_int_distribution<microseconds::rep> delay(0, delay_max_.count());
    std::this_thread::sleep_for(microseconds(delay(generator_)));
    return inner();
  }

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    late().all_gather_v(rows, rows_per_rank, gathered);
  }
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    late().reduce_scatter_v(rows, rows_per_rank, own);
  }
  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    late().all_to_all_v(sent, rows_to, rows_from, received);
  }
  void do_broadcast(Tensors rows, int root) override { late().broadcast(rows, root); }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    late().all_reduce(in, op, out);
  }
  void do_send(Tensors rows, int to) override { late().send(rows, to); }
  void do_recv(Tensors rows, int from) override { late().recv(rows, from); }
  void do_barrier() override { late().barrier(); }
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    std::unique_ptr<Communicator> group = late().split(color, key);
    if (group == nullptr) return group;
    return with_random_delays(std::move(group), delay_max_);
  }

  microseconds delay_max_;
  std::mt19937_64 generator_{std::random_device{}()};
};

}  // namespace

std::unique_ptr<Communicator> with_random_delays(std::unique_ptr<Communicator> inner,
                                                 microseconds delay_max) {
  return std::make_unique<DelayingCommunicator>(std::move(inner), delay_max);
}

}  // namespace moe
