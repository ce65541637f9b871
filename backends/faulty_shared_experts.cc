// The three decorators. Each makes the same collective calls on all ranks, or none.
// Found by LIN, and where rows are wrong by PROV.

#include "backends/faulty_shared_experts.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace moe {
namespace {

class SumBeforeReduce final : public SharedExperts {
 public:
  SumBeforeReduce(std::unique_ptr<SharedExperts> inner, Communicator& tp)
      : inner_(std::move(inner)), tp_(tp) {}

  Buffer apply(const Tensor& hidden_states) override {
    Buffer part = inner_->apply(hidden_states);
    tp_.all_reduce(part.tensor(), ReduceOp::sum, part.tensor());
    return part;
  }

 private:
  std::unique_ptr<SharedExperts> inner_;
  Communicator& tp_;
};

class GatheredInput final : public SharedExperts {
 public:
  GatheredInput(std::unique_ptr<SharedExperts> inner, Communicator& group)
      : inner_(std::move(inner)), group_(group) {}

  Buffer apply(const Tensor& hidden_states) override {
    const std::vector<Count> rows = rows_per_rank(hidden_states.rows);
    Count total = 0;
    for (const Count count : rows) total += count;
    const Buffer gathered(group_.memory(), {total, hidden_states.columns, hidden_states.dtype});
    group_.all_gather_v({&hidden_states, 1}, rows, {&gathered.tensor(), 1});
    return inner_->apply(rows_of(gathered.tensor(), 0, hidden_states.rows));
  }

 private:
  // Every rank's count, by a maximum over vectors with one entry each.
  std::vector<Count> rows_per_rank(Count own) {
    std::vector<Count> counts(static_cast<std::size_t>(group_.size()), 0);
    counts[static_cast<std::size_t>(group_.rank())] = own;
    const Tensor on_host = {counts.data(), group_.size(), 1, DType::i64, {}};
    const Buffer told = copy_of(on_host, group_.memory());
    group_.all_reduce(told.tensor(), ReduceOp::max, told.tensor());
    group_.memory().copy_to_host(told.tensor(), on_host);
    return counts;
  }

  std::unique_ptr<SharedExperts> inner_;
  Communicator& group_;
};

class Dropped final : public SharedExperts {
 public:
  Dropped(std::unique_ptr<SharedExperts> inner, Memory& memory)
      : inner_(std::move(inner)), memory_(memory) {}

  Buffer apply(const Tensor& hidden_states) override {
    Buffer output = inner_->apply(hidden_states);
    memory_.fill(output.tensor(), 0);
    return output;
  }

 private:
  std::unique_ptr<SharedExperts> inner_;
  Memory& memory_;
};

}  // namespace

std::unique_ptr<SharedExperts> with_shared_sum_before_reduce(std::unique_ptr<SharedExperts> inner,
                                                             Communicator& tp) {
  return std::make_unique<SumBeforeReduce>(std::move(inner), tp);
}

std::unique_ptr<SharedExperts> with_gathered_shared_input(std::unique_ptr<SharedExperts> inner,
                                                          Communicator& dispatch_group) {
  return std::make_unique<GatheredInput>(std::move(inner), dispatch_group);
}

std::unique_ptr<SharedExperts> with_shared_dropped(std::unique_ptr<SharedExperts> inner,
                                                   Memory& memory) {
  return std::make_unique<Dropped>(std::move(inner), memory);
}

}  // namespace moe
