// A communicator that remembers the shapes of the calls that pass, so that they can be made again
// bare: the limit that a backend's stage is held against. Used by bench_rank.cc only.

#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "comm/symmetric_memory.h"
#include "kernels/base/buffer.h"

namespace moe::sim {

// One call on buffers of its own.
class BareCall {
 public:
  virtual ~BareCall() = default;
  virtual void make() const = 0;
};
using BareCalls = std::vector<std::unique_ptr<BareCall>>;

inline void make_all(const BareCalls& calls) {
  for (const auto& call : calls) call->make();
}

// A window between the ranks of a communicator. Empty: none.
using MakeWindow = std::function<std::unique_ptr<SymmetricMemory>(Count bytes)>;

// LIFETIME: not longer than its communicators, which it does not own.
class RememberedCalls final : public Communicator {
 public:
  // Calls pass to inner and are made again on bare, null: on inner. Their buffers lie in windows of
  // their own where there are any. Remembering is then collective.
  RememberedCalls(Communicator& inner, Communicator* bare, MakeWindow make_window = {})
      : inner_(inner),
        bare_(bare == nullptr ? inner : *bare),
        make_window_(std::move(make_window)) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  Memory& memory() override { return inner_.memory(); }

  // The calls since the last take, each to be made again on buffers of its own. A reduce-scatter
  // over inner is made as the moves it consists of, without its sum.
  BareCalls take() { return std::exchange(calls_, {}); }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override;
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank, const Tensor& own) override;
  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override;
  void do_broadcast(Tensors rows, int root) override;
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override;
  void do_send(Tensors rows, int to) override;
  void do_recv(Tensors rows, int from) override;
  void do_barrier() override;
  std::unique_ptr<Communicator> do_split(int color, int key) override;

  Communicator& inner_;
  Communicator& bare_;
  MakeWindow make_window_;
  BareCalls calls_;
};

}  // namespace moe::sim
