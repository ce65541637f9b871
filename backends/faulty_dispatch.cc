// Five decorators. What they do to one rank they do to all, so that no rank waits in vain: it is
// the values, the rows and the bytes that are wrong.

#include "backends/faulty_dispatch.h"

#include <algorithm>
#include <utility>

#include "backends/faulty_expert_ids.h"

namespace moe {
namespace {

class ExtraAllReduce final : public PrepareFinalize {
 public:
  ExtraAllReduce(std::unique_ptr<PrepareFinalize> inner, Communicator& tp)
      : inner_(std::move(inner)), tp_(tp) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    return inner_->prepare(hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
    tp_.all_reduce(output, ReduceOp::sum, output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  Communicator& tp_;
};

class PadsToExpert0 final : public PrepareFinalize {
 public:
  PadsToExpert0(std::unique_ptr<PrepareFinalize> inner, Memory& memory)
      : inner_(std::move(inner)), memory_(memory) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    if (!routing.is_selected()) return inner_->prepare(hidden_states, routing, tokens);
    std::vector<std::int32_t> ids = ids_on_host(memory_, routing.topk_ids);
    for (std::int32_t& id : ids) id = std::max(id, 0);
    Routing lie = routing;
    Buffer changed = ids_in(memory_, ids, routing.topk_ids);
    lie.topk_ids = changed.tensor();
    Dispatched dispatched = inner_->prepare(hidden_states, lie, tokens);
    dispatched.handle.keep(std::move(changed));  // the dispatched ids may be these
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  Memory& memory_;
};

class ReinterpretedIds final : public PrepareFinalize {
 public:
  explicit ReinterpretedIds(std::unique_ptr<PrepareFinalize> inner) : inner_(std::move(inner)) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    Dispatched dispatched = inner_->prepare(hidden_states, routing, tokens);
    Tensor& ids = dispatched.routing.topk_ids;
    ids.columns = row_bytes(ids) / size_of(DType::i16);
    ids.dtype = DType::i16;
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
};

class FirstOfGather final : public PrepareFinalize {
 public:
  explicit FirstOfGather(std::unique_ptr<PrepareFinalize> inner) : inner_(std::move(inner)) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    Dispatched dispatched = inner_->prepare(hidden_states, routing, tokens);
    const Count first = dispatched.handle.rows_per_rank.front();
    for (Tensor* rows :
         {&dispatched.hidden_states, &dispatched.routing.topk_ids, &dispatched.routing.topk_weights,
          &dispatched.routing.router_logits, &dispatched.provenance}) {
      if (rows->rows > first) *rows = rows_of(*rows, 0, first);
    }
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
};

class ExtraGather final : public PrepareFinalize {
 public:
  ExtraGather(std::unique_ptr<PrepareFinalize> inner, Communicator& group)
      : inner_(std::move(inner)), group_(group) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    const Buffer residual(group_.memory(),
                          {total_rows(tokens), hidden_states.columns, hidden_states.dtype});
    group_.all_gather_v({&hidden_states, 1}, tokens, {&residual.tensor(), 1});
    return inner_->prepare(hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  Communicator& group_;
};

}  // namespace

std::unique_ptr<PrepareFinalize> with_extra_all_reduce(std::unique_ptr<PrepareFinalize> inner,
                                                       const FaultyDispatchSite& site) {
  return std::make_unique<ExtraAllReduce>(std::move(inner), site.groups.tp);
}

std::unique_ptr<PrepareFinalize> with_pads_to_expert_0(std::unique_ptr<PrepareFinalize> inner,
                                                       const FaultyDispatchSite& site) {
  return std::make_unique<PadsToExpert0>(std::move(inner), site.memory);
}

std::unique_ptr<PrepareFinalize> with_reinterpreted_ids(std::unique_ptr<PrepareFinalize> inner) {
  return std::make_unique<ReinterpretedIds>(std::move(inner));
}

std::unique_ptr<PrepareFinalize> with_first_of_gather(std::unique_ptr<PrepareFinalize> inner) {
  return std::make_unique<FirstOfGather>(std::move(inner));
}

std::unique_ptr<PrepareFinalize> with_extra_gather(std::unique_ptr<PrepareFinalize> inner,
                                                   const FaultyDispatchSite& site) {
  return std::make_unique<ExtraGather>(std::move(inner),
                                       dispatch_group(site.groups, site.parallel));
}

}  // namespace moe
