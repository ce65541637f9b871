// The decorator: each call passes, then the rank's memory is waited for.
// Groups split from it are awaited as well.

#include "tests/conformance/awaited_communicator.h"

#include <utility>

namespace moe::test {
namespace {

class AwaitedCommunicator final : public Communicator {
 public:
  explicit AwaitedCommunicator(std::unique_ptr<Communicator> inner) : inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  Memory& memory() override { return inner_->memory(); }

 private:
  void do_all_gather_v(Tensors rows, RowCounts counts, Tensors gathered) override {
    inner_->all_gather_v(rows, counts, gathered);
    memory().synchronize();
  }
  void do_reduce_scatter_v(const Tensor& rows, RowCounts counts, const Tensor& own) override {
    inner_->reduce_scatter_v(rows, counts, own);
    memory().synchronize();
  }
  void do_all_to_all_v(Tensors sent, RowCounts to, RowCounts from, Tensors received) override {
    inner_->all_to_all_v(sent, to, from, received);
    memory().synchronize();
  }
  void do_broadcast(Tensors rows, int root) override {
    inner_->broadcast(rows, root);
    memory().synchronize();
  }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    inner_->all_reduce(in, op, out);
    memory().synchronize();
  }
  void do_send(Tensors rows, int to) override {
    inner_->send(rows, to);
    memory().synchronize();
  }
  void do_recv(Tensors rows, int from) override {
    inner_->recv(rows, from);
    memory().synchronize();
  }
  void do_barrier() override { inner_->barrier(); }
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    std::unique_ptr<Communicator> group = inner_->split(color, key);
    return group == nullptr ? nullptr : awaited(std::move(group));
  }

  std::unique_ptr<Communicator> inner_;
};

}  // namespace

std::unique_ptr<Communicator> awaited(std::unique_ptr<Communicator> inner) {
  return std::make_unique<AwaitedCommunicator>(std::move(inner));
}

}  // namespace moe::test
