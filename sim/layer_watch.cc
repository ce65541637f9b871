// The three decorators. Each times the call inside and leaves its checks outside the time.
// Made by rank_program.cc.

#include "sim/layer_watch.h"

#include <utility>

#include "kernels/base/text.h"
#include "sim/host_copy.h"
#include "sim/poison_check.h"

namespace moe::sim {
namespace {

// Adds the time until its end to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(std::chrono::nanoseconds& sum)
      : sum_(sum), begin_(std::chrono::steady_clock::now()) {}
  ~Stopwatch() { sum_ += std::chrono::steady_clock::now() - begin_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  std::chrono::nanoseconds& sum_;
  std::chrono::steady_clock::time_point begin_;
};

class WatchedRouter final : public Router {
 public:
  WatchedRouter(std::unique_ptr<Router> inner, LayerWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    const Stopwatch stopwatch(watch_.times.select);
    return inner_->select_experts(router_logits);
  }

 private:
  std::unique_ptr<Router> inner_;
  LayerWatch& watch_;
};

class WatchedPrepareFinalize final : public PrepareFinalize {
 public:
  WatchedPrepareFinalize(std::unique_ptr<PrepareFinalize> inner, LayerWatch& watch,
                         TracedCommunicator& trace, Memory& memory)
      : inner_(std::move(inner)), watch_(watch), trace_(trace), memory_(memory) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    trace_.enter({watch_.cell.step, watch_.cell.layer, 0});
    const Stopwatch stopwatch(watch_.times.prepare);
    return inner_->prepare(hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    trace_.enter({watch_.cell.step, watch_.cell.layer, 1});
    if (!dispatched.handle.guards_intact()) {
      watch_.ledger.found("POISON", moment_of(watch_.cell, 0),
                          text(place_text(watch_.cell),
                               ", experts: a guard row of the dispatched rows or of the "
                               "workspace was overwritten"));
    }
    if (watch_.keeps_combine_in == nullptr) {
      return timed(expert_output, std::move(dispatched), output);
    }
    watch_.combine.rows_per_rank = dispatched.handle.rows_per_rank;
    watch_.combine.expert_output = kept(expert_output);
    timed(expert_output, std::move(dispatched), output);
    watch_.combine.output = kept(output);
  }

 private:
  void timed(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) {
    const Stopwatch stopwatch(watch_.times.finalize);
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

  Buffer kept(const Tensor& tensor) const {
    Buffer copy(*watch_.keeps_combine_in, {tensor.rows, tensor.columns, tensor.dtype});
    memory_.copy_to_host(tensor, copy.tensor());
    return copy;
  }

  std::unique_ptr<PrepareFinalize> inner_;
  LayerWatch& watch_;
  TracedCommunicator& trace_;
  Memory& memory_;
};

class WatchedExperts final : public Experts {
 public:
  WatchedExperts(std::unique_ptr<Experts> inner, LayerWatch& watch, const ConservationFacts& facts,
                 Memory& memory)
      : inner_(std::move(inner)), watch_(watch), facts_(facts), memory_(memory) {}

  Tensor apply(Dispatched& dispatched) override {
    if (watch_.is_probing) return timed(dispatched);
    check_dispatched(facts_, watch_.cell, dispatched, memory_, watch_.ledger);
    const Tensor output = timed(dispatched);
    const HostCopy rows(output, memory_);
    const HostCopy tags(dispatched.provenance, memory_);
    const DispatchedTokens tokens = facts_.tokens(watch_.cell.step);
    check_poison(
        watch_.cell, RowsOf::experts, rows.tensor(),
        [&](Count row) {
          if (row >= tags.tensor().rows) return std::string("of no known token");
          return tokens.words(
              elements_of<std::int64_t>(tags.tensor())[static_cast<std::size_t>(row)]);
        },
        watch_.ledger);
    return output;
  }

 private:
  Tensor timed(Dispatched& dispatched) {
    const Stopwatch stopwatch(watch_.times.experts);
    return inner_->apply(dispatched);
  }

  std::unique_ptr<Experts> inner_;
  LayerWatch& watch_;
  ConservationFacts facts_;
  Memory& memory_;
};

class WatchedSharedExperts final : public SharedExperts {
 public:
  WatchedSharedExperts(std::unique_ptr<SharedExperts> inner, LayerWatch& watch,
                       const ConservationFacts& facts, Memory& memory)
      : inner_(std::move(inner)), watch_(watch), facts_(facts), memory_(memory) {}

  Buffer apply(const Tensor& hidden_states) override {
    if (!watch_.is_probing) {
      check_shared_input(facts_, watch_.cell, hidden_states, memory_, watch_.ledger);
    }
    return inner_->apply(hidden_states);
  }

 private:
  std::unique_ptr<SharedExperts> inner_;
  LayerWatch& watch_;
  ConservationFacts facts_;
  Memory& memory_;
};

}  // namespace

std::unique_ptr<Router> watched(std::unique_ptr<Router> inner, LayerWatch& watch) {
  return std::make_unique<WatchedRouter>(std::move(inner), watch);
}

std::unique_ptr<PrepareFinalize> watched(std::unique_ptr<PrepareFinalize> inner, LayerWatch& watch,
                                         TracedCommunicator& trace, Memory& memory) {
  return std::make_unique<WatchedPrepareFinalize>(std::move(inner), watch, trace, memory);
}

std::unique_ptr<Experts> watched(std::unique_ptr<Experts> inner, LayerWatch& watch,
                                 const ConservationFacts& facts, Memory& memory) {
  return std::make_unique<WatchedExperts>(std::move(inner), watch, facts, memory);
}

std::unique_ptr<SharedExperts> watched(std::unique_ptr<SharedExperts> inner, LayerWatch& watch,
                                       const ConservationFacts& facts, Memory& memory) {
  if (inner == nullptr) return inner;
  return std::make_unique<WatchedSharedExperts>(std::move(inner), watch, facts, memory);
}

}  // namespace moe::sim
