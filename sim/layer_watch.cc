// The decorators. Those of the layer's four time the call inside and leave their checks outside it.
// Made by rank_program.cc.

#include "sim/layer_watch.h"

#include <utility>

#include "kernels/base/text.h"
#include "sim/batched_check.h"
#include "sim/host_copy.h"
#include "sim/id_checks.h"
#include "sim/poison_check.h"
#include "sim/shape_check.h"

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

std::vector<ConstInput> inputs_of(const Tensor& hidden_states, const Routing& routing,
                                  Memory& memory) {
  std::vector<ConstInput> inputs = {{"hidden_states", hidden_states, memory}};
  if (!routing.is_selected()) {
    inputs.push_back({"router_logits", routing.router_logits, memory});
    return inputs;
  }
  inputs.push_back({"topk_ids", routing.topk_ids, memory});
  inputs.push_back({"topk_weights", routing.topk_weights, memory});
  return inputs;
}

class WatchedPrepareFinalize final : public PrepareFinalize {
 public:
  WatchedPrepareFinalize(std::unique_ptr<PrepareFinalize> inner, LayerWatch& watch,
                         LayerContract contract, TracedCommunicator& trace, Memory& memory)
      : inner_(std::move(inner)),
        watch_(watch),
        contract_(std::move(contract)),
        trace_(trace),
        memory_(memory) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    trace_.enter({watch_.cell.step, watch_.cell.layer, 0});
    const golden::Cell cell = watch_.cell;
    if (!watch_.is_cut) {
      check_shape_of_input(contract_, cell, hidden_states, routing, watch_.ledger);
    }
    if (routing.is_selected() && routing.topk_ids.dtype == DType::i32) {
      const auto own_token = [](Count row) { return text("row ", row, " of this rank"); };
      check_global_ids({contract_, cell, "router", own_token, trace_.memory()}, routing,
                       watch_.ledger);
    }
    watch_.inputs = inputs_of(hidden_states, routing, trace_.memory());
    if (watch_.keeps_combine_in != nullptr) keep_choices(routing);
    const Stopwatch stopwatch(watch_.times.prepare);
    return inner_->prepare(hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    trace_.enter({watch_.cell.step, watch_.cell.layer, 1});
    if (!watch_.is_cut) check_shape_of_output(contract_, watch_.cell, output, watch_.ledger);
    const bool is_kept = watch_.keeps_combine_in != nullptr;
    if (is_kept) {
      watch_.combine.rows_per_rank = dispatched.handle.rows_per_rank;
      watch_.combine.expert_output = kept(expert_output);
      keep_path(dispatched.handle.return_path);
    }
    {
      const Stopwatch stopwatch(watch_.times.finalize);
      inner_->finalize(expert_output, std::move(dispatched), output);
    }
    if (is_kept) watch_.combine.output = kept(output);
    for (const ConstInput& input : watch_.inputs) {
      input.check(watch_.cell, watch_.ledger);
      input.check_apart(watch_.cell, "output", output, watch_.ledger);
    }
    watch_.inputs.clear();
  }

 private:
  Buffer kept(const Tensor& tensor) const {
    Buffer copy(*watch_.keeps_combine_in, {tensor.rows, tensor.columns, tensor.dtype});
    memory_.copy_to_host(tensor, copy.tensor());
    return copy;
  }

  template <typename T>
  std::vector<T> values_of(const Tensor& tensor) const {
    const HostCopy copy(tensor, memory_);
    const std::span<const T> values = elements_of<T>(copy.tensor());
    return {values.begin(), values.end()};
  }

  void keep_choices(const Routing& routing) {
    if (!routing.is_selected() || routing.topk_ids.dtype != DType::i32) return;
    watch_.combine.top_k = static_cast<int>(routing.topk_ids.columns);
    watch_.combine.topk_ids = values_of<std::int32_t>(routing.topk_ids);
    watch_.combine.topk_weights = values_of<float>(routing.topk_weights);
  }

  void keep_path(const ReturnPath& path) {
    watch_.combine.messages_to = path.messages_to;
    watch_.combine.messages_from = path.messages_from;
    watch_.combine.message_of.clear();
    watch_.combine.received_at.clear();
    if (path.message_of.rows > 0) {
      watch_.combine.message_of = values_of<std::int32_t>(path.message_of);
    }
    if (path.received_at.rows > 0) {
      watch_.combine.received_at = values_of<std::int32_t>(path.received_at);
    }
  }

  std::unique_ptr<PrepareFinalize> inner_;
  LayerWatch& watch_;
  LayerContract contract_;
  TracedCommunicator& trace_;
  Memory& memory_;
};

class WatchedExperts final : public Experts {
 public:
  WatchedExperts(std::unique_ptr<Experts> inner, LayerWatch& watch, LayerContract contract,
                 Memory& memory)
      : inner_(std::move(inner)), watch_(watch), contract_(std::move(contract)), memory_(memory) {}

  Tensor apply(Dispatched& dispatched) override {
    if (watch_.is_probing) return timed(dispatched);
    const golden::Cell cell = watch_.cell;
    watch_.token_of = names_of(dispatched);
    if (check_shape_of_dispatched(contract_, cell, dispatched, watch_.ledger)) {
      if (!contract_.is_batched()) check_ids(dispatched);
      check_dispatched(contract_.facts, cell, dispatched, memory_, watch_.ledger);
    }
    const Tensor output = timed(dispatched);
    check_shape_of_expert_output(contract_, cell, dispatched, output, watch_.ledger);
    check_capacity(contract_, cell, dispatched, memory_, watch_.ledger);
    for (const ConstInput& input : watch_.inputs) {
      input.check_apart(cell, "expert_output", output, watch_.ledger);
    }
    check_outputs(dispatched, output);
    return output;
  }

 private:
  // Foreign choices that come as one expert repeat it, which is the contract's.
  void check_ids(const Dispatched& dispatched) {
    if (contract_.facts.capabilities.foreign_choices != ForeignChoices::as_sent) return;
    check_global_ids({contract_, watch_.cell, "dispatch", watch_.token_of, memory_},
                     dispatched.routing, watch_.ledger);
  }

  // Where rows stand in experts' rooms, those beyond the counts are nobody's.
  void check_outputs(const Dispatched& dispatched, const Tensor& output) {
    const HostCopy rows(output, memory_);
    if (!contract_.is_batched()) {
      return check_poison(watch_.cell, RowsOf::experts, rows.tensor(), watch_.token_of,
                          watch_.ledger);
    }
    for (const auto& [first, count] : valid_rows(dispatched, memory_)) {
      check_poison(
          watch_.cell, RowsOf::experts, rows_of(rows.tensor(), first, count),
          [this, first = first](Count row) { return watch_.token_of(first + row); }, watch_.ledger);
    }
  }

  // What messages call a dispatched row: its token, by its tag.
  std::function<std::string(Count row)> names_of(const Dispatched& dispatched) {
    const HostCopy copy(dispatched.provenance, memory_);
    const bool has_tags = copy.tensor().columns == 1 && copy.tensor().dtype == DType::i64;
    const std::span<const std::int64_t> there =
        has_tags ? elements_of<std::int64_t>(copy.tensor()) : std::span<std::int64_t>();
    return [tags = std::vector<std::int64_t>(there.begin(), there.end()),
            tokens = contract_.facts.tokens(watch_.cell.step)](Count row) {
      if (row >= std::ssize(tags)) return std::string("of no known token");
      return tokens.words(tags[static_cast<std::size_t>(row)]);
    };
  }

  Tensor timed(Dispatched& dispatched) {
    const Stopwatch stopwatch(watch_.times.experts);
    return inner_->apply(dispatched);
  }

  std::unique_ptr<Experts> inner_;
  LayerWatch& watch_;
  LayerContract contract_;
  Memory& memory_;
};

class WatchedIdMap final : public ExpertIdMap {
 public:
  WatchedIdMap(std::unique_ptr<ExpertIdMap> inner, LayerWatch& watch, LayerContract contract,
               Memory& memory)
      : inner_(std::move(inner)), watch_(watch), contract_(std::move(contract)), memory_(memory) {}

  RoutingBuffers local_ids(const Routing& dispatched) override {
    RoutingBuffers local = inner_->local_ids(dispatched);
    if (watch_.is_probing) return local;
    check_local_ids({contract_, watch_.cell, "experts", watch_.token_of, memory_}, dispatched,
                    local, watch_.ledger);
    return local;
  }

 private:
  std::unique_ptr<ExpertIdMap> inner_;
  LayerWatch& watch_;
  LayerContract contract_;
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
                                         const LayerContract& contract, TracedCommunicator& trace,
                                         Memory& memory) {
  return std::make_unique<WatchedPrepareFinalize>(std::move(inner), watch, contract, trace, memory);
}

std::unique_ptr<Experts> watched(std::unique_ptr<Experts> inner, LayerWatch& watch,
                                 const LayerContract& contract, Memory& memory) {
  return std::make_unique<WatchedExperts>(std::move(inner), watch, contract, memory);
}

std::unique_ptr<ExpertIdMap> watched(std::unique_ptr<ExpertIdMap> inner, LayerWatch& watch,
                                     const LayerContract& contract, Memory& memory) {
  return std::make_unique<WatchedIdMap>(std::move(inner), watch, contract, memory);
}

std::unique_ptr<SharedExperts> watched(std::unique_ptr<SharedExperts> inner, LayerWatch& watch,
                                       const ConservationFacts& facts, Memory& memory) {
  if (inner == nullptr) return inner;
  return std::make_unique<WatchedSharedExperts>(std::move(inner), watch, facts, memory);
}

}  // namespace moe::sim
