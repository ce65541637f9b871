// ForwardingCommunicator: passes every call on to the communicator inside, so that a decorator says
// only what it changes, and what Communicator learns later reaches all of them at once.

#pragma once

#include <memory>
#include <utility>

#include "comm/communicator.h"

namespace moe {

class ForwardingCommunicator : public Communicator {
 public:
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  Memory& memory() override { return inner_->memory(); }
  Memory& memory_for(RowPlace place) override { return inner_->memory_for(place); }
  Count staged_bytes() const override { return inner_->staged_bytes(); }

 protected:
  explicit ForwardingCommunicator(std::unique_ptr<Communicator> inner) : inner_(std::move(inner)) {}

  Communicator& inner() { return *inner_; }

  // Where a call goes, asked once for each call. Overridden where something happens before all of
  // them; who overrides a call as well asks it there.
  virtual Communicator& next() { return *inner_; }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    next().all_gather_v(rows, rows_per_rank, gathered);
  }
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    next().reduce_scatter_v(rows, rows_per_rank, own);
  }
  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    next().all_to_all_v(sent, rows_to, rows_from, received);
  }
  void do_broadcast(Tensors rows, int root) override { next().broadcast(rows, root); }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    next().all_reduce(in, op, out);
  }
  void do_send(Tensors rows, int to) override { next().send(rows, to); }
  void do_recv(Tensors rows, int from) override { next().recv(rows, from); }
  void do_barrier() override { next().barrier(); }
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    return next().split(color, key);
  }

  std::unique_ptr<Communicator> inner_;
};

}  // namespace moe
