// The decorator: each call passes, then the rank's memory is waited for.
// Groups split from it are awaited as well.

#include "tests/conformance/awaited_communicator.h"

#include <utility>

#include "comm/forwarding_communicator.h"

namespace moe::test {
namespace {

class AwaitedCommunicator final : public ForwardingCommunicator {
 public:
  explicit AwaitedCommunicator(std::unique_ptr<Communicator> inner)
      : ForwardingCommunicator(std::move(inner)) {}

 private:
  void do_all_gather_v(Tensors rows, RowCounts counts, Tensors gathered) override {
    inner().all_gather_v(rows, counts, gathered);
    memory().synchronize();
  }
  void do_reduce_scatter_v(const Tensor& rows, RowCounts counts, const Tensor& own) override {
    inner().reduce_scatter_v(rows, counts, own);
    memory().synchronize();
  }
  void do_all_to_all_v(Tensors sent, RowCounts to, RowCounts from, Tensors received) override {
    inner().all_to_all_v(sent, to, from, received);
    memory().synchronize();
  }
  void do_broadcast(Tensors rows, int root) override {
    inner().broadcast(rows, root);
    memory().synchronize();
  }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    inner().all_reduce(in, op, out);
    memory().synchronize();
  }
  void do_send(Tensors rows, int to) override {
    inner().send(rows, to);
    memory().synchronize();
  }
  void do_recv(Tensors rows, int from) override {
    inner().recv(rows, from);
    memory().synchronize();
  }
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    std::unique_ptr<Communicator> group = inner().split(color, key);
    return group == nullptr ? nullptr : awaited(std::move(group));
  }
};

}  // namespace

std::unique_ptr<Communicator> awaited(std::unique_ptr<Communicator> inner) {
  return std::make_unique<AwaitedCommunicator>(std::move(inner));
}

}  // namespace moe::test
