// The loop of one rank. A cell is a step and a layer: inputs, forward, checks, judgement.
// Called by the worlds of threads and of processes.

#include "sim/rank_program.h"

#include <chrono>
#include <utility>

#include "backends/routers.h"
#include "kernels/base/text.h"
#include "sim/exact_weights.h"
#include "sim/faults.h"
#include "sim/generated_logits.h"
#include "sim/host_copy.h"
#include "sim/poison_check.h"

namespace moe::sim {
namespace {

constexpr std::size_t findings_kept = 4;

// Thrown at a layer's door when the run was told to stop.
struct Interrupted {};

// A routing as the recorded router reads it: ids, then weights, [tokens, 2 * top_k] f32.
Buffer recorded_rows(const CellInputs& inputs, Memory& memory) {
  const auto ids = elements_of<std::int32_t>(inputs.topk_ids.tensor());
  const auto weights = elements_of<float>(inputs.topk_weights.tensor());
  const Count rows = inputs.topk_ids.tensor().rows;
  const Count top_k = inputs.topk_ids.tensor().columns;
  Buffer recorded(memory, {rows, 2 * top_k, DType::f32});
  const auto to = elements_of<float>(recorded.tensor());
  for (Count i = 0; i < rows * top_k; ++i) {
    const auto at = static_cast<std::size_t>(i / top_k * 2 * top_k + i % top_k);
    to[at] = static_cast<float>(ids[static_cast<std::size_t>(i)]);
    to[at + static_cast<std::size_t>(top_k)] = weights[static_cast<std::size_t>(i)];
  }
  return recorded;
}

class RankProgram {
 public:
  RankProgram(const RankJob& job, RankWires wires, RankReport& report)
      : job_(job),
        report_(report),
        rank_(wires.wire->rank()),
        memory_(wires.wire->memory()),
        host_(make_host_memory(Poison::on)),
        kernels_(make_cpu_kernels(memory_)),
        expert_map_(determine_expert_map(job.scenario.model.num_experts, wires.wire->size(),
                                         job.scenario.model.placement)) {
    auto traced =
        std::make_unique<TracedCommunicator>(std::move(wires.wire), Agreement::checked,
                                             StageNames(stage_names.begin(), stage_names.end()),
                                             LastTensor::side, std::move(wires.side));
    trace_ = traced.get();
    group_ = with_faults(std::move(traced), rank_, job.faults);
    for (int layer = 0; layer < job.inputs.num_layers(); ++layer) build_layer(layer);
  }

  void run() {
    for (const std::string_view check : {"SEQ", "COUNT"}) watch_.ledger.looked(check);
    for (int step = 0; step < job_.inputs.num_steps(); ++step) {
      for (int layer = 0; layer < job_.inputs.num_layers(); ++layer) {
        if (job_.stop.load()) throw Interrupted{};
        run_cell({step, layer, rank_});
      }
    }
    trace_->finish();
  }

  Moment moment() const { return moment_of(watch_.cell, 0); }

  // What can be said at any time, also after a failure.
  void write_report() {
    report_.ledger.merge(watch_.ledger);
    report_.times = watch_.times;
    report_.traffic = trace_->traffic();
    report_.last_operation = trace_->last_operation();
  }

 private:
  std::vector<int> local_experts() const {
    std::vector<int> local(expert_map_.local_of);
    for (std::size_t expert = 0; expert < local.size(); ++expert) {
      if (expert_map_.rank_of[expert] != rank_) local[expert] = -1;
    }
    return local;
  }

  bool has_logits() const { return std::holds_alternative<LogitsRouting>(job_.scenario.routing); }

  // The layer's own router where there are logits, else one that repeats what was written down.
  std::unique_ptr<Router> layer_router(int layer) {
    if (!has_logits()) return make_recorded_router(*kernels_, job_.scenario.model.top_k);
    return with_exact_weights(make_router(*kernels_, router_spec(job_.scenario, layer)),
                              job_.inputs, watch_.cell, memory_);
  }

  void build_layer(int layer) {
    const std::vector<int> local = local_experts();
    const FaultSite site{rank_, layer, memory_, local};
    auto prepare_finalize = with_faults(
        job_.backend.make({*group_, memory_, expert_map_, Provenance::travels}), site, job_.faults);
    auto experts = with_faults(
        make_standard_experts(
            {*kernels_, local, expert_map_.num_local_experts[static_cast<std::size_t>(rank_)]},
            job_.inputs.expert_weights(layer, expert_map_, rank_, memory_)),
        site, job_.faults);
    layers_.emplace_back(watched(layer_router(layer), watch_),
                         watched(std::move(prepare_finalize), watch_, *trace_),
                         watched(std::move(experts), watch_, facts_, memory_));
  }

  void run_cell(golden::Cell cell) {
    watch_.cell = cell;
    const CellInputs inputs = job_.inputs.cell(cell, *host_);
    const Tensor& host_rows = inputs.hidden_states.tensor();
    const Buffer hidden_states = copy_of(host_rows, memory_);
    const Buffer host_logits =
        has_logits() ? job_.inputs.router_logits(cell, *host_) : recorded_rows(inputs, *host_);
    const Buffer router_logits = copy_of(host_logits.tensor(), memory_);
    const Buffer output(memory_, {host_rows.rows, host_rows.columns, host_rows.dtype});
    layers_[static_cast<std::size_t>(cell.layer)].forward(
        hidden_states.tensor(), router_logits.tensor(), job_.inputs.tokens(cell.step),
        output.tensor());
    const HostCopy result(output.tensor(), memory_);
    check_poison(
        cell, RowsOf::output, result.tensor(),
        [&](Count row) { return token_text(provenance_tag(rank_, row)); }, watch_.ledger);
    if (!output.guards_intact() || !hidden_states.guards_intact()) {
      watch_.ledger.found("POISON", moment_of(cell, 1),
                          text(place_text(cell),
                               ", combine: a guard row of the layer's "
                               "input or output was overwritten"));
    }
    judge_cell(cell, inputs, result.tensor());
  }

  void judge_cell(golden::Cell cell, const CellInputs& inputs, const Tensor& output) {
    const auto begin = std::chrono::steady_clock::now();
    const golden::CellJudgement judgement = golden::judge(job_.golden, cell, output, [&] {
      return golden::expected_rows(
          job_.inputs.oracle_experts(cell.layer),
          {inputs.hidden_states.tensor(), inputs.topk_ids.tensor(), inputs.topk_weights.tensor()});
    });
    report_.rows += output.rows;
    if (judgement.finding != golden::Finding::agrees) {
      report_.mismatches += judgement.comparison.mismatches;
      ++report_.differing_cells;
      if (report_.findings.size() < findings_kept) {
        report_.findings.push_back(
            {cell, judgement.finding, judgement.comparison.first, judgement.sentence});
      }
    }
    report_.judging += std::chrono::steady_clock::now() - begin;
  }

  const RankJob& job_;
  RankReport& report_;
  int rank_;
  Memory& memory_;
  std::unique_ptr<Memory> host_;
  std::unique_ptr<Kernels> kernels_;
  ExpertMap expert_map_;
  LayerWatch watch_;
  ConservationFacts facts_{job_.inputs, expert_map_, job_.backend.capabilities};
  TracedCommunicator* trace_ = nullptr;
  std::unique_ptr<Communicator> group_;
  std::vector<MoeLayer> layers_;
};

RankFailure failure(FailureKind kind, const std::string& message) {
  return {kind, message, std::chrono::steady_clock::now().time_since_epoch().count()};
}

// Runs and turns whatever was thrown into the report's failure.
void run_caught(RankProgram& program, RankReport& report) {
  try {
    program.run();
  } catch (const Interrupted&) {
    report.failure = failure(FailureKind::interrupted, "interrupted");
  } catch (const DisagreementError& error) {
    report.failure = failure(FailureKind::system, error.what());
    report.ledger.found(error.check(), program.moment(), error.what());
  } catch (const ScenarioError& error) {
    report.failure = failure(FailureKind::input, error.what());
  } catch (const SystemError& error) {
    report.failure = failure(FailureKind::system, error.what());
  } catch (const std::exception& error) {
    report.failure = failure(FailureKind::contract, error.what());
  }
}

}  // namespace

RankReport run_rank(const RankJob& job, RankWires wires) {
  RankReport report;
  report.rank = wires.wire->rank();
  try {
    RankProgram program(job, std::move(wires), report);
    run_caught(program, report);
    program.write_report();
  } catch (const std::exception& error) {
    report.failure = failure(FailureKind::contract, error.what());
  }
  return report;
}

}  // namespace moe::sim
