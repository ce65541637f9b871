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
                         TracedCommunicator& trace)
      : inner_(std::move(inner)), watch_(watch), trace_(trace) {}

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
    const Stopwatch stopwatch(watch_.times.finalize);
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  LayerWatch& watch_;
  TracedCommunicator& trace_;
};

class WatchedExperts final : public Experts {
 public:
  WatchedExperts(std::unique_ptr<Experts> inner, LayerWatch& watch, const ConservationFacts& facts,
                 Memory& memory)
      : inner_(std::move(inner)), watch_(watch), facts_(facts), memory_(memory) {}

  Tensor apply(Dispatched& dispatched) override {
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

}  // namespace

std::unique_ptr<Router> watched(std::unique_ptr<Router> inner, LayerWatch& watch) {
  return std::make_unique<WatchedRouter>(std::move(inner), watch);
}

std::unique_ptr<PrepareFinalize> watched(std::unique_ptr<PrepareFinalize> inner, LayerWatch& watch,
                                         TracedCommunicator& trace) {
  return std::make_unique<WatchedPrepareFinalize>(std::move(inner), watch, trace);
}

std::unique_ptr<Experts> watched(std::unique_ptr<Experts> inner, LayerWatch& watch,
                                 const ConservationFacts& facts, Memory& memory) {
  return std::make_unique<WatchedExperts>(std::move(inner), watch, facts, memory);
}

}  // namespace moe::sim
