// One rank of a bench: the layer, its limits, and the layer with checks, all on the same inputs.
// A sample starts after a barrier. The limits are taken in the same iteration as the layer, so that
// a busy machine slows both.

#include <chrono>
#include <numeric>
#include <optional>
#include <utility>

#include "comm/stuck_watch.h"
#include "comm/traced_communicator.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/bench.h"
#include "sim/bench_call_watch.h"
#include "sim/bench_calls.h"
#include "sim/bench_inputs.h"
#include "sim/bench_parts.h"
#include "sim/bench_queue.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int warm_up = 3;
constexpr int checked_iterations_max = 10;
constexpr Count probe_bytes = Count{128} << 20U;  // that each rank sends to each
constexpr int probes = 9;

class BenchRank {
 public:
  BenchRank(const BenchSettings& settings, BenchWires wires)
      : settings_(settings),
        wire_(std::move(wires.wire)),
        bare_(std::move(wires.bare)),
        make_window_(std::move(wires.window)),
        end_process_(std::move(wires.end_process)),
        group_(*wire_),
        call_watch_({.deadline = std::chrono::milliseconds(settings.deadline_ms),
                     .rank = text("rank ", group_.rank(), " of ", group_.size()),
                     .calls = text("bare or of ", settings.backend),
                     .lost = std::move(wires.lost),
                     .end_process = end_process_}),
        alone_(group_.split(group_.rank(), 0)),
        calls_(group_, bare_.get()),
        window_calls_(group_, bare_.get(), make_window_),
        kernels_(device_maker(settings.device).make_kernels(group_.memory())),
        tokens_(static_cast<std::size_t>(group_.size()), settings.num_tokens),
        parts_(settings, group_),
        hidden_states_(random_rows(
            parts_.homes().hidden_states,
            {settings.num_tokens, settings.shape.hidden_size, settings.dtype},
            mix(static_cast<std::uint64_t>(BenchSeed::hidden_states), group_.rank()), 1.7)),
        router_logits_(random_rows(
            group_.memory(), {settings.num_tokens, settings.shape.num_experts, settings.dtype},
            mix(static_cast<std::uint64_t>(BenchSeed::router_logits), group_.rank()), 1.7)),
        output_(parts_.homes().output,
                {settings.num_tokens, settings.shape.hidden_size, settings.dtype}) {
    report_.rank = group_.rank();
  }

  // What a rank with bare calls meets ends its process: to leave them is to wait for their peers.
  BenchReport run() {
    if (!end_process_) return run_all();
    const StuckWatch::Work looked_after(stuck_.emplace(), [this] { call_watch_.look(); });
    try {
      return run_all();
    } catch (const std::exception& error) {
      end_process_(error.what());
      throw;
    }
  }

 private:
  BenchReport run_all() {
    remember_calls();
    settings_.of == BenchOf::layer ? run_layer() : run_moves();
    if (bare_ != nullptr) {
      probe_link();
      time_queue();
      report_.made_on = queue_of(group_.memory())->described();
    }
    run_checked();
    return std::move(report_);
  }

  void run_layer() {
    const ParallelGroups groups = groups_over(group_);
    const LayerParts parts = parts_.all(groups, *kernels_, Provenance::off);
    const auto bare = make_bare_experts(settings_, *kernels_, first_rows_);
    for (int i = -warm_up; i < settings_.iterations; ++i) {
      BenchSamples samples;
      time_layer(parts, samples);
      time_stages(parts, samples);
      time_limits(bare.get(), samples);
      if (i >= 0) keep(samples);
    }
  }

  // Dispatch and combine alone.
  void run_moves() {
    const ParallelGroups groups = groups_over(group_);
    const auto moves = parts_.prepare_finalize(groups, *kernels_, Provenance::off);
    const Buffer partial = partial_rows(*moves);
    for (int i = -warm_up; i < settings_.iterations; ++i) {
      BenchSamples samples;
      Dispatched dispatched;
      time_alone(BenchStage::dispatch, samples, [&] {
        dispatched = moves->prepare(hidden_states_.tensor(), routing_.view(), tokens_);
      });
      time_alone(BenchStage::combine, samples, [&] {
        moves->finalize(partial.tensor(), std::move(dispatched), output_.tensor());
      });
      time_limits(nullptr, samples);
      if (i >= 0) keep(samples);
    }
  }

  // Zeros in the shape of the dispatched rows, where experts would leave theirs.
  Buffer partial_rows(PrepareFinalize& moves) {
    const Dispatched dispatched = moves.prepare(hidden_states_.tensor(), routing_.view(), tokens_);
    const Tensor& like = dispatched.hidden_states;
    Buffer rows(parts_.homes().expert_output, {like.rows, like.columns, like.dtype});
    group_.memory().fill(rows.tensor(), 0);
    return rows;
  }

  // Data parallel ranks that share the experts: TP and PCP are groups of one.
  ParallelGroups groups_over(Communicator& group) const { return {*alone_, *alone_, group, group}; }

  // One dispatch and combine whose calls are remembered; on windows once more.
  void remember_calls() {
    routing_ = parts_.router(*kernels_)->select_experts(router_logits_.tensor());
    remember(calls_, bare_dispatch_, bare_combine_);
    if (!make_window_) return;
    try {
      remember(window_calls_, window_dispatch_, window_combine_);
    } catch (const SystemError& error) {
      report_.notes.push_back(text("windows: not measured: ", error.what()));
      make_window_ = {};
      call_watch_.end();
    }
  }

  void remember(RememberedCalls& calls, BareCalls& dispatch, BareCalls& combine) {
    call_watch_.begin();
    const ParallelGroups groups = groups_over(calls);
    const auto prepare_finalize = parts_.prepare_finalize(groups, *kernels_, Provenance::off);
    Dispatched dispatched =
        prepare_finalize->prepare(hidden_states_.tensor(), routing_.view(), tokens_);
    dispatch = calls.take();
    if (settings_.of == BenchOf::layer) first_rows_ = first_rows(dispatched);
    const Tensor rows = dispatched.hidden_states;
    prepare_finalize->finalize(rows, std::move(dispatched), output_.tensor());
    combine = calls.take();
    call_watch_.end();
  }

  // Where each local expert's rows begin among those that came, and how many there are.
  std::vector<std::int32_t> first_rows(const Dispatched& dispatched) {
    std::vector<std::int32_t> first(static_cast<std::size_t>(parts_.local_count()) + 1);
    if (parts_.is_batched()) {
      const HostCopy copy(dispatched.expert_num_tokens, group_.memory());
      const auto counts = elements_of<std::int32_t>(copy.tensor());
      std::partial_sum(counts.begin(), counts.end(), first.begin() + 1);
      return first;
    }
    const RowPlanBuffers plan = kernels_->plan_rows(dispatched.routing.topk_ids,
                                                    local_map().tensor(), parts_.local_count());
    const HostCopy copy(plan.first_row.tensor(), group_.memory());
    const auto planned = elements_of<std::int32_t>(copy.tensor());
    first.assign(planned.begin(), planned.end());
    return first;
  }

  Buffer local_map() {
    const std::vector<int> local = parts_.expert_map().slots_on(group_.rank());
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
  void time_layer(const LayerParts& parts, BenchSamples& samples) {
    time_alone(BenchStage::layer, samples, [&] {
      const RoutingBuffers routing = parts.router->select_experts(router_logits_.tensor());
      Dispatched dispatched =
          parts.prepare_finalize->prepare(hidden_states_.tensor(), routing.view(), tokens_);
      const Tensor expert_output = parts.experts->apply(dispatched);
      parts.prepare_finalize->finalize(expert_output, std::move(dispatched), output_.tensor());
    });
  }

  // The same with a barrier before every stage, so that none pays for the one before it.
  void time_stages(const LayerParts& parts, BenchSamples& samples) {
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
    call_watch_.begin();
    group_.barrier();
    const auto begin = Clock::now();
    function();
    group_.memory().synchronize();
    at(samples, stage).push_back(microseconds(begin, Clock::now()));
    call_watch_.end();
  }

  // What this rank sends in a second while everybody gathers from everybody.
  void probe_link() {
    Memory& memory = group_.memory();
    const Count others = std::max(group_.size() - 1, 1);
    const Count rows = probe_bytes / others;
    const Buffer own(memory, {rows, 1, DType::u8});
    const Buffer all(memory, {rows * group_.size(), 1, DType::u8});
    const std::vector<Count> each(static_cast<std::size_t>(group_.size()), rows);
    BenchSamples samples;
    for (int i = 0; i < probes; ++i) {
      time_alone(BenchStage::bare_dispatch, samples, [&] {
        bare_->all_gather_v({&own.tensor(), 1}, each, {&all.tensor(), 1});
      });
    }
    const double us = percentile(at(samples, BenchStage::bare_dispatch), 0.5);
    report_.link_gb_per_s = static_cast<double>(rows * others) / us / 1e3;
    if (!make_window_) return;
    call_watch_.begin();
    report_.copies_gb_per_s = probed_link(*bare_, *make_window_(probe_window_bytes));
    call_watch_.end();
  }

  // The moves by the device's own clock: the layer's, the bare ones, those on windows.
  void time_queue() {
    const ParallelGroups groups = groups_over(group_);
    const auto moves = parts_.prepare_finalize(groups, *kernels_, Provenance::off);
    const auto prepared = [&] {
      call_watch_.begin();
      return moves->prepare(hidden_states_.tensor(), routing_.view(), tokens_);
    };
    const Buffer partial = partial_rows(*moves);
    std::vector<Dispatched> held;
    const auto combine = [&] {
      moves->finalize(partial.tensor(), std::move(held.back()), output_.tensor());
      held.pop_back();
    };
    const auto hold = [&](int count) {
      for (int i = 0; i < count; ++i) held.push_back(prepared());
    };
    const auto pair = [&] { moves->finalize(partial.tensor(), prepared(), output_.tensor()); };
    std::vector<TimedMoves> ways = {{{hold, [&] { prepared(); }, combine, pair}, layer_stages},
                                    {bare_moves(bare_dispatch_, bare_combine_), bare_stages}};
    if (make_window_)
      ways.push_back({bare_moves(window_dispatch_, window_combine_), window_stages});
    for (std::string& note :
         time_moves(ways, group_, {settings_.iterations, [this] { call_watch_.begin(); }},
                    report_.samples)) {
      report_.notes.push_back(std::move(note));
    }
    call_watch_.end();
  }

  // bare: null where experts are not measured.
  void time_limits(BareExperts* bare, BenchSamples& samples) {
    time_alone(BenchStage::bare_dispatch, samples, [this] { make_all(bare_dispatch_); });
    if (bare != nullptr) {
      time_alone(BenchStage::bare_experts, samples, [bare] { bare->multiply(); });
    }
    time_alone(BenchStage::bare_combine, samples, [this] { make_all(bare_combine_); });
  }

  void keep(const BenchSamples& samples) {
    for (std::size_t stage = 0; stage < samples.size(); ++stage) {
      report_.samples[stage].insert(report_.samples[stage].end(), samples[stage].begin(),
                                    samples[stage].end());
    }
  }

  bool is_on_host() const { return settings_.device == DeviceKind::cpu; }

  // The same layer with poison, guard rows, agreement and provenance; counts the traffic as well,
  // which is all that a device asks of it. The last use of the wire.
  void run_checked() {
    const std::unique_ptr<Memory> poisoned = make_host_memory(Poison::on);
    const std::unique_ptr<Kernels> host_kernels = make_cpu_kernels(*poisoned);
    Kernels& kernels = is_on_host() ? *host_kernels : *kernels_;
    TracedCommunicator& traced =
        traced_.emplace(std::move(wire_), is_on_host() ? Agreement::checked : Agreement::trusted,
                        StageNames(), LastTensor::side);
    const ParallelGroups groups = groups_over(traced);
    if (settings_.of == BenchOf::moves) return count_traffic(traced);
    const LayerParts parts =
        parts_.all(groups, kernels, is_on_host() ? Provenance::travels : Provenance::off);
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

  void count_traffic(TracedCommunicator& traced) {
    const ParallelGroups groups = groups_over(traced);
    const auto moves = parts_.prepare_finalize(groups, *kernels_, Provenance::off);
    Dispatched dispatched = moves->prepare(hidden_states_.tensor(), routing_.view(), tokens_);
    report_.dispatch_bytes = traced.traffic().bytes;
    const Tensor rows = dispatched.hidden_states;
    moves->finalize(rows, std::move(dispatched), output_.tensor());
    report_.combine_bytes = traced.traffic().bytes - report_.dispatch_bytes;
    group_.barrier();
  }

  const BenchSettings& settings_;
  std::unique_ptr<Communicator> wire_;  // in traced_ in the end, which bare_ does not outlive
  std::optional<TracedCommunicator> traced_;
  std::unique_ptr<Communicator> bare_;  // null: the wire's own calls are bare
  MakeWindow make_window_;              // of bare_; empty: none
  std::function<void(const std::string&)> end_process_;
  Communicator& group_;
  CallWatch call_watch_;
  std::unique_ptr<Communicator> alone_;  // TP and PCP groups of one
  RememberedCalls calls_;
  RememberedCalls window_calls_;
  std::unique_ptr<Kernels> kernels_;
  std::vector<Count> tokens_;
  BenchParts parts_;
  Buffer hidden_states_;
  Buffer router_logits_;
  Buffer output_;
  RoutingBuffers routing_;
  BareCalls bare_dispatch_;
  BareCalls bare_combine_;
  BareCalls window_dispatch_;
  BareCalls window_combine_;
  std::vector<std::int32_t> first_rows_;
  BenchReport report_;
  std::optional<StuckWatch> stuck_;  // where bare calls are there
};

}  // namespace

Count bench_capacity(const BenchSettings& settings, const Capabilities& capabilities) {
  if (!capabilities.fixed_capacity) return 0;
  Count capacity = settings.num_tokens;
  while (capacity * settings.world_size % capabilities.limits.capacity_multiple != 0) ++capacity;
  return capacity;
}

BenchReport run_bench_rank(const BenchSettings& settings, BenchWires wires) {
  return BenchRank(settings, std::move(wires)).run();
}

}  // namespace moe::sim
