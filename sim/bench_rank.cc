// One rank of a bench: the layer, its limits, and the layer with checks, all on the same inputs.
// A sample starts after a barrier. The limits are taken in the same iteration as the layer, so that
// a busy machine slows both.

#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "backends/batched_experts.h"
#include "backends/placement/expert_placement.h"
#include "backends/routers.h"
#include "comm/traced_communicator.h"
#include "kernels/base/bits.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/cpu/gemm.h"
#include "sim/bench.h"
#include "sim/bench_calls.h"
#include "sim/registry.h"

namespace moe::sim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int warm_up = 3;
constexpr int checked_iterations_max = 10;

// Uniform in [-bound, bound].
Buffer random_rows(Memory& memory, Shape shape, std::uint64_t seed, double bound) {
  Buffer rows(memory, shape);
  for_row_type(shape.dtype, [&](auto element) {
    std::uint64_t state = mix(seed, shape.rows);
    for (auto& to : elements_of<decltype(element)>(rows.tensor())) {
      state += 0x9E3779B97F4A7C15ULL;
      const double share = static_cast<double>(splitmix64(state) >> 40U) * 0x1p-23 - 1;
      round_to(static_cast<float>(share * bound), to);
    }
  });
  return rows;
}

enum class Seed : std::uint64_t { hidden_states = 1, router_logits, w13, w2 };

// Weights of this rank's experts, in a scale that keeps rows at their size.
GemmWeights random_weights(const BenchSettings& settings, Memory& memory, Count num_local_experts,
                           int rank) {
  const auto& [name, hidden, intermediate, num_experts, top_k] = settings.shape;
  const auto seeded = [&](Seed seed, Count rows, Count columns) {
    return random_rows(memory, {num_local_experts * rows, columns, settings.dtype},
                       mix(static_cast<std::uint64_t>(seed), rank),
                       std::sqrt(3.0 / static_cast<double>(columns)));
  };
  return {.w13 = seeded(Seed::w13, 2 * intermediate, hidden),
          .w2 = seeded(Seed::w2, hidden, intermediate),
          .activation = Activation::silu};
}

// The parts of a layer, to be called one by one.
struct Parts {
  std::unique_ptr<Router> router;
  std::unique_ptr<PrepareFinalize> prepare_finalize;
  std::unique_ptr<Experts> experts;
};

class BenchRank {
 public:
  BenchRank(const BenchSettings& settings, std::unique_ptr<Communicator> wire)
      : settings_(settings),
        wire_(std::move(wire)),
        group_(*wire_),
        alone_(group_.split(group_.rank(), 0)),
        calls_(group_),
        parallel_(make_parallel_config({.sizes = {.dp = settings.world_size}}, group_.rank())),
        kernels_(make_cpu_kernels(group_.memory())),
        expert_map_(
            determine_expert_map(settings.shape.num_experts, group_.size(), Placement::linear)),
        tokens_(static_cast<std::size_t>(group_.size()), settings.num_tokens),
        hidden_states_(random_rows(
            group_.memory(), {settings.num_tokens, settings.shape.hidden_size, settings.dtype},
            mix(static_cast<std::uint64_t>(Seed::hidden_states), group_.rank()), 1.7)),
        router_logits_(random_rows(
            group_.memory(), {settings.num_tokens, settings.shape.num_experts, settings.dtype},
            mix(static_cast<std::uint64_t>(Seed::router_logits), group_.rank()), 1.7)),
        output_(group_.memory(),
                {settings.num_tokens, settings.shape.hidden_size, settings.dtype}) {
    report_.rank = group_.rank();
  }

  BenchReport run() {
    const ParallelGroups groups = groups_over(group_);
    const Parts parts = parts_on(groups, *kernels_, Provenance::off);
    remember_calls();
    BareExperts bare(settings_, group_.memory(), first_rows_);
    for (int i = -warm_up; i < settings_.iterations; ++i) {
      BenchSamples samples;
      time_layer(parts, samples);
      time_stages(parts, samples);
      time_limits(bare, samples);
      if (i >= 0) keep(samples);
    }
    run_checked();
    return std::move(report_);
  }

 private:
  // The products of this rank's experts alone, on weights of their own.
  class BareExperts {
   public:
    // first: the first row of each expert, and the number of all.
    BareExperts(const BenchSettings& settings, Memory& memory, std::vector<std::int32_t> first)
        : num_local_experts_(std::ssize(first) - 1), first_(std::move(first)) {
      GemmWeights weights = random_weights(settings, memory, num_local_experts_, -1);
      w13_ = cpu::onednn_gemm.pack({std::move(weights.w13), {}, num_local_experts_}, memory);
      w2_ = cpu::onednn_gemm.pack({std::move(weights.w2), {}, num_local_experts_}, memory);
      const Count num_rows = first_.back();
      const auto& [name, hidden, intermediate, num_experts, top_k] = settings.shape;
      rows_ = random_rows(memory, {num_rows, hidden, settings.dtype}, 5, 1.7);
      inner_ = random_rows(memory, {num_rows, 2 * intermediate, settings.dtype}, 6, 1);
      activated_ = random_rows(memory, {num_rows, intermediate, settings.dtype}, 7, 1);
      out_ = random_rows(memory, {num_rows, hidden, settings.dtype}, 8, 1);
    }

    void multiply() {
      for (Count expert = 0; expert < num_local_experts_; ++expert) {
        const Count begin = first_[static_cast<std::size_t>(expert)];
        const Count count = first_[static_cast<std::size_t>(expert) + 1] - begin;
        if (count == 0) continue;
        const Tensor rows = rows_of(rows_.tensor(), begin, count);
        w13_->multiply(expert, rows, rows_of(inner_.tensor(), 0, count));
        w2_->multiply(expert, rows_of(activated_.tensor(), 0, count),
                      rows_of(out_.tensor(), begin, count));
      }
    }

   private:
    Count num_local_experts_;
    std::unique_ptr<cpu::PackedWeights> w13_;
    std::unique_ptr<cpu::PackedWeights> w2_;
    std::vector<std::int32_t> first_;
    Buffer rows_;
    Buffer inner_;
    Buffer activated_;
    Buffer out_;
  };

  int local_count() const {
    return expert_map_.num_local_experts[static_cast<std::size_t>(group_.rank())];
  }

  RouterSpec router_spec() const {
    return {.num_experts = settings_.shape.num_experts, .top_k = settings_.shape.top_k};
  }

  // Data parallel ranks that share the experts: TP and PCP are groups of one.
  ParallelGroups groups_over(Communicator& group) const { return {*alone_, *alone_, group, group}; }

  std::unique_ptr<PrepareFinalize> prepare_finalize_on(const ParallelGroups& groups,
                                                       Kernels& kernels, Provenance provenance) {
    return backend().make({.groups = groups,
                           .parallel = parallel_,
                           .memory = kernels.memory(),
                           .expert_map = expert_map_,
                           .provenance = provenance,
                           .kernels = &kernels,
                           .max_num_tokens = bench_capacity(settings_, backend().capabilities)});
  }

  std::unique_ptr<Experts> experts_on(Kernels& kernels) const {
    const ExpertsConfig config{kernels, expert_map_.slots_on(group_.rank()), local_count()};
    GemmWeights weights = random_weights(settings_, kernels.memory(), local_count(), group_.rank());
    if (is_batched()) return make_batched_experts(config, std::move(weights));
    return make_standard_experts(config, std::move(weights));
  }

  Parts parts_on(const ParallelGroups& groups, Kernels& kernels, Provenance provenance) {
    return {make_router(kernels, router_spec()), prepare_finalize_on(groups, kernels, provenance),
            experts_on(kernels)};
  }

  // One dispatch and combine whose calls are remembered.
  void remember_calls() {
    const ParallelGroups groups = groups_over(calls_);
    const auto prepare_finalize = prepare_finalize_on(groups, *kernels_, Provenance::off);
    const auto router = make_router(*kernels_, router_spec());
    const RoutingBuffers routing = router->select_experts(router_logits_.tensor());
    Dispatched dispatched =
        prepare_finalize->prepare(hidden_states_.tensor(), routing.view(), tokens_);
    bare_dispatch_ = calls_.take();
    first_rows_ = first_rows(dispatched);
    const Tensor rows = dispatched.hidden_states;
    prepare_finalize->finalize(rows, std::move(dispatched), output_.tensor());
    bare_combine_ = calls_.take();
  }

  // Where each local expert's rows begin among those that came, and how many there are.
  std::vector<std::int32_t> first_rows(const Dispatched& dispatched) {
    std::vector<std::int32_t> first(static_cast<std::size_t>(local_count()) + 1);
    if (is_batched()) {
      const auto counts = elements_of<std::int32_t>(dispatched.expert_num_tokens);
      std::partial_sum(counts.begin(), counts.end(), first.begin() + 1);
      return first;
    }
    const RowPlanBuffers plan =
        kernels_->plan_rows(dispatched.routing.topk_ids, local_map().tensor(), local_count());
    const auto planned = elements_of<std::int32_t>(plan.first_row.tensor());
    first.assign(planned.begin(), planned.end());
    return first;
  }

  const Backend& backend() const { return *backend_named(settings_.backend).backend; }

  bool is_batched() const {
    return backend().capabilities.activation_format == ActivationFormat::batched_experts;
  }

  Buffer local_map() {
    const std::vector<int> local = expert_map_.slots_on(group_.rank());
    std::vector<std::int32_t> map(local.begin(), local.end());
    return copy_of({map.data(), static_cast<Count>(map.size()), 1, DType::i32, {}},
                   group_.memory());
  }

  static double microseconds(Clock::time_point begin, Clock::time_point end) {
    return std::chrono::duration<double, std::micro>(end - begin).count();
  }

  static std::vector<double>& at(BenchSamples& samples, BenchStage stage) {
    return samples[static_cast<std::size_t>(stage)];
  }

  // The layer as it runs: a rank that comes late makes the others wait inside of it.
  void time_layer(const Parts& parts, BenchSamples& samples) {
    time_alone(BenchStage::layer, samples, [&] {
      const RoutingBuffers routing = parts.router->select_experts(router_logits_.tensor());
      Dispatched dispatched =
          parts.prepare_finalize->prepare(hidden_states_.tensor(), routing.view(), tokens_);
      const Tensor expert_output = parts.experts->apply(dispatched);
      parts.prepare_finalize->finalize(expert_output, std::move(dispatched), output_.tensor());
    });
  }

  // The same with a barrier before every stage, so that none pays for the one before it.
  void time_stages(const Parts& parts, BenchSamples& samples) {
    RoutingBuffers routing;
    time_alone(BenchStage::route, samples,
               [&] { routing = parts.router->select_experts(router_logits_.tensor()); });
    Dispatched dispatched;
    time_alone(BenchStage::dispatch, samples, [&] {
      dispatched =
          parts.prepare_finalize->prepare(hidden_states_.tensor(), routing.view(), tokens_);
    });
    Tensor expert_output;
    time_alone(BenchStage::experts, samples,
               [&] { expert_output = parts.experts->apply(dispatched); });
    time_alone(BenchStage::combine, samples, [&] {
      parts.prepare_finalize->finalize(expert_output, std::move(dispatched), output_.tensor());
    });
  }

  template <typename Function>
  void time_alone(BenchStage stage, BenchSamples& samples, Function function) {
    group_.barrier();
    const auto begin = Clock::now();
    function();
    at(samples, stage).push_back(microseconds(begin, Clock::now()));
  }

  static void make_all(const BareCalls& calls) {
    for (const auto& call : calls) call->make();
  }

  void time_limits(BareExperts& bare, BenchSamples& samples) {
    time_alone(BenchStage::bare_dispatch, samples, [this] { make_all(bare_dispatch_); });
    time_alone(BenchStage::bare_experts, samples, [&bare] { bare.multiply(); });
    time_alone(BenchStage::bare_combine, samples, [this] { make_all(bare_combine_); });
  }

  void keep(const BenchSamples& samples) {
    for (std::size_t stage = 0; stage < samples.size(); ++stage) {
      report_.samples[stage].insert(report_.samples[stage].end(), samples[stage].begin(),
                                    samples[stage].end());
    }
  }

  // The same layer with poison, guard rows, agreement and provenance; counts the traffic as well.
  // The last use of the wire.
  void run_checked() {
    const std::unique_ptr<Memory> poisoned = make_host_memory(Poison::on);
    const std::unique_ptr<Kernels> kernels = make_cpu_kernels(*poisoned);
    TracedCommunicator& traced =
        traced_.emplace(std::move(wire_), Agreement::checked, StageNames(), LastTensor::side);
    const ParallelGroups groups = groups_over(traced);
    const Parts parts = parts_on(groups, *kernels, Provenance::travels);
    const int iterations = std::min(settings_.iterations, checked_iterations_max);
    for (int i = -1; i < iterations; ++i) {
      group_.barrier();
      const auto begin = Clock::now();
      const RoutingBuffers routing = parts.router->select_experts(router_logits_.tensor());
      const Count before = traced.traffic().bytes;
      Dispatched dispatched =
          parts.prepare_finalize->prepare(hidden_states_.tensor(), routing.view(), tokens_);
      const Count between = traced.traffic().bytes;
      const Tensor expert_output = parts.experts->apply(dispatched);
      parts.prepare_finalize->finalize(expert_output, std::move(dispatched), output_.tensor());
      const auto end = Clock::now();
      report_.dispatch_bytes = between - before;
      report_.combine_bytes = traced.traffic().bytes - between;
      if (i >= 0)
        at(report_.samples, BenchStage::checked_layer).push_back(microseconds(begin, end));
    }
  }

  const BenchSettings& settings_;
  std::unique_ptr<Communicator> wire_;
  std::optional<TracedCommunicator> traced_;
  Communicator& group_;
  std::unique_ptr<Communicator> alone_;  // TP and PCP groups of one
  RememberedCalls calls_;
  FusedMoEParallelConfig parallel_;
  std::unique_ptr<Kernels> kernels_;
  ExpertMap expert_map_;
  std::vector<Count> tokens_;
  Buffer hidden_states_;
  Buffer router_logits_;
  Buffer output_;
  BareCalls bare_dispatch_;
  BareCalls bare_combine_;
  std::vector<std::int32_t> first_rows_;
  BenchReport report_;
};

}  // namespace

Count bench_capacity(const BenchSettings& settings, const Capabilities& capabilities) {
  if (!capabilities.fixed_capacity) return 0;
  Count capacity = settings.num_tokens;
  while (capacity * settings.world_size % capabilities.limits.capacity_multiple != 0) ++capacity;
  return capacity;
}

BenchReport run_bench_rank(const BenchSettings& settings, std::unique_ptr<Communicator> wire) {
  return BenchRank(settings, std::move(wire)).run();
}

}  // namespace moe::sim
