// The loop of one rank. A cell is a step and a layer: inputs, forward, checks, judgement.
// Called by the worlds of threads and of processes.

#include "sim/rank_program.h"

#include <chrono>
#include <utility>

#include "backends/moe_runner.h"
#include "comm/exchange_sum.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/backend_choice.h"
#include "sim/dp_chunks.h"
#include "sim/engine_steps.h"
#include "sim/exact_weights.h"
#include "sim/expert_balance.h"
#include "sim/generated_logits.h"
#include "sim/host_copy.h"
#include "sim/layer_maker.h"
#include "sim/layer_probes.h"
#include "sim/message_replay.h"
#include "sim/other_calls.h"
#include "sim/placement_choice.h"
#include "sim/placement_faults.h"
#include "sim/poison_check.h"
#include "sim/quantization_choice.h"
#include "sim/recorded_rows.h"
#include "sim/row_choices.h"
#include "sim/traffic_check.h"

namespace moe::sim {
namespace {

constexpr std::size_t findings_kept = 4;

// Thrown at a layer's door when the run was told to stop.
struct Interrupted {};

// Thrown once the report says why: so wires leave as those of a rank that failed, and wait for
// nobody.
struct Failed {};

class RankProgram {
 public:
  RankProgram(const RankJob& job, RankWires wires, RankReport& report)
      : job_(job),
        report_(report),
        rank_(wires.wire->rank()),
        memory_(wires.wire->memory()),
        deployment_(job.scenario.world.deployment()),
        at_(coordinates_of(deployment_.sizes, rank_)),
        parallel_(make_parallel_config(deployment_, rank_)),
        host_(make_host_memory(Poison::on)),
        kernels_(device_maker(memory_.stream().device.kind).make_kernels(memory_)),
        expert_map_(
            with_faults(expert_map_in(job.scenario, job.backend.capabilities, parallel_.ep_size),
                        rank_, job.faults)),
        ranks_(with_delays(std::move(wires), job.scenario.delay_max_ms), deployment_.sizes,
               job.faults, collectives_of(job.scenario, job.line)),
        groups_(ranks_.groups()),
        stage_(layers_of_stage(job.inputs.num_layers(), deployment_.sizes.pp, at_.pp)) {
    const LayerMaker maker({job_, rank_, memory_, parallel_, expert_map_, *kernels_, groups_,
                            homes_, ranks_.trace(), ranks_.sharing(), watch_, facts_, naive_form_,
                            balance_.get()});
    for (int layer = stage_.first; layer < stage_.last; ++layer) {
      layers_.push_back(maker.make(layer));
    }
  }

  void run() {
    for (const std::string_view check : {"SEQ", "COUNT", "GROUP", "PROG"}) {
      watch_.ledger.looked(check);
    }
    for (int step = 0; step < job_.inputs.num_steps(); ++step) {
      if (job_.progress != nullptr && rank_ == 0) job_.progress->steps = step + 1;
      watch_.cell = {step, stage_.first, rank_};
      if (!engine_.begin(step)) continue;
      if (balance_ != nullptr) balance_->before_step(step);
      for (int layer = stage_.first; layer < stage_.last; ++layer) {
        if (job_.stop.load()) throw Interrupted{};
        run_cell({step, layer, at_.dp});
      }
      engine_.end();
      if (balance_ != nullptr) balance_->after_step(step);
    }
    if (balance_ != nullptr) balance_->finish();
    probe();
    ranks_.finish();
  }

  Moment moment() const { return moment_of(watch_.cell, 0); }
  std::string last_operation() { return ranks_.trace().last_operation(); }

  // What can be said at any time, also after a failure.
  void write_report() {
    check_sharing(watch_.cell, ranks_.sharing(), watch_.ledger);  // of a layer that failed
    report_.ledger.merge(watch_.ledger);
    if (!is_measured_) measure();
    report_.last_operation = last_operation();
  }

 private:
  bool moves_rows() const { return layer_moves_rows(job_.backend, job_.line.dispatch_site); }

  // Null where experts stay where they are.
  std::unique_ptr<ExpertBalance> make_balance() {
    if (!job_.scenario.eplb) return nullptr;
    return std::make_unique<ExpertBalance>(
        BalancedRank{job_.scenario, job_.line, job_.inputs, job_.faults, parallel_, stage_, rank_,
                     moves_rows(), tp_sources(job_.backend.capabilities, job_.scenario.world),
                     memory_, ranks_.add_eplb_group(job_.faults), ranks_.trace(), watch_});
  }

  // What the layer's router reads, [tokens, …] in host memory.
  Buffer router_rows(golden::Cell cell, const CellInputs& inputs) {
    if (!std::holds_alternative<LogitsRouting>(job_.scenario.routing))
      return recorded_rows(inputs, *host_);
    return logits_beside_weights(job_.inputs.router_logits(cell, *host_).tensor(),
                                 inputs.topk_weights.tensor(), *host_);
  }

  // What a layer may send, which its tensors' widths decide.
  Traffic budget_of(golden::Cell cell, const Tensor& hidden_states, const Tensor& router_logits) {
    const Count choices = job_.scenario.model.top_k;
    const Count logits_bytes = row_bytes(router_logits);
    RowWidths widths{hidden_states.columns,
                     hidden_states.dtype,
                     job_.scenario.model.quantization.activations,
                     {choices * size_of(DType::f32), choices * size_of(DType::i32)},
                     logits_bytes};
    if (job_.line.selection == Selection::monolithic) widths.routing_bytes = {logits_bytes};
    return traffic_budget({.backend = job_.backend,
                           .site = job_.line.dispatch_site,
                           .naive_form = naive_form_,
                           .sizes = deployment_.sizes,
                           .parallel = parallel_,
                           .tp_rank = groups_.tp.rank(),
                           .has_shared_experts = job_.scenario.model.num_shared_experts > 0,
                           .widths = std::move(widths),
                           .messages = messages_of(cell)},
                          facts_.rows_across_dp(cell.step));
  }

  SentMessages messages_of(golden::Cell cell) const {
    if (job_.backend.capabilities.dispatch_reach != DispatchReach::owner_ranks) return {};
    const MessageCounts counts = message_counts(facts_, cell);
    return {counts.sent, counts.answered, job_.scenario.model.top_k};
  }

  // The layer, and what is known of it only when it is through.
  void forward_checked(golden::Cell cell, const LayerCall& call) {
    const ConstInput rows("hidden_states", call.hidden_states, memory_);
    const ConstInput logits("router_logits", call.router_logits, memory_);
    const Traffic before = ranks_.trace().traffic();
    layers_[static_cast<std::size_t>(cell.layer - stage_.first)].forward(
        call.hidden_states, call.router_logits, call.num_tokens_across_dp, call.output);
    rows.check(watch_.cell, watch_.ledger);
    logits.check(watch_.cell, watch_.ledger);
    check_traffic(watch_.cell, since(before, ranks_.trace().traffic()),
                  budget_of(cell, call.hidden_states, call.router_logits), watch_.ledger);
    check_sharing(watch_.cell, ranks_.sharing(), watch_.ledger);
  }

  // Once with all rows, or in the chunks that vLLM makes of them.
  void call_layer(golden::Cell cell, LayerCall call) {
    const RowCounts tokens = engine_.tokens(cell.step);
    call.num_tokens_across_dp = {tokens.begin(), tokens.end()};
    const WorldSpec& world = job_.scenario.world;
    if (!chunks_ || num_chunks(*chunks_, world, tokens) == 1) return forward_checked(cell, call);
    const auto forward = [&](const LayerCall& chunk, int number) {
      watch_.part = chunk_part(*chunks_, world, tokens, number);
      forward_checked(cell, chunk);
      watch_.part.reset();
    };
    call_in_chunks({memory_, world, *chunks_, forward}, std::move(call));
  }

  // What a layer read and wrote, in the rank's memory.
  struct Ran {
    Buffer hidden_states;
    Buffer output;
  };

  // cell.rank is the DP rank whose tokens go in.
  Ran forward(golden::Cell cell, const CellInputs& inputs) {
    watch_.cell = {cell.step, cell.layer, rank_};
    ranks_.trace().enter({cell.step, cell.layer, 0});
    const Tensor& host_rows = inputs.hidden_states.tensor();
    Ran ran{copy_of(host_rows, homes_.hidden_states),
            Buffer(homes_.output, {host_rows.rows, host_rows.columns, host_rows.dtype})};
    const Buffer host_logits = router_rows(cell, inputs);
    const Buffer router_logits = copy_of(host_logits.tensor(), memory_);
    call_layer(cell, {ran.hidden_states.tensor(), router_logits.tensor(), {}, ran.output.tensor()});
    return ran;
  }

  void run_cell(golden::Cell cell) {
    const CellInputs inputs = job_.inputs.cell(cell, *host_);
    const auto [hidden_states, output] = forward(cell, inputs);
    const HostCopy result(output.tensor(), memory_);
    probes_.note(cell, inputs, result.tensor(), report_.outputs);
    if (!job_.scenario.same_under.empty()) note_rows(cell, result.tensor());
    check_poison(
        watch_.cell, RowsOf::output, result.tensor(),
        [&](Count row) { return text("token ", row, " of rank ", cell.rank); }, watch_.ledger);
    check_guards(watch_.cell, output, "the layer's output", watch_.ledger);
    check_guards(watch_.cell, hidden_states, "the layer's input", watch_.ledger);
    judge_cell(cell, inputs, result.tensor());
    for (const OtherCall& other : other_calls(job_, engine_, memory_, cell.step)) {
      watch_.is_probing = watch_.is_cut = true;
      const Buffer again =
          other(layers_[static_cast<std::size_t>(cell.layer - stage_.first)],
                inputs.hidden_states.tensor(), router_rows(cell, inputs).tensor(), *host_);
      check_sharing(watch_.cell, ranks_.sharing(), watch_.ledger);
      watch_.is_probing = watch_.is_cut = false;
      judge_cell(cell, inputs, again.tensor());
    }
  }

  // For comparisons with other worlds, where each token is another rank's.
  void note_rows(golden::Cell cell, const Tensor& output) {
    std::vector<double> values(static_cast<std::size_t>(output.columns));
    for (Count token = 0; token < output.rows; ++token) {
      golden::read_row(output, token, values);
      const std::span row(row_at(output, token), static_cast<std::size_t>(row_bytes(output)));
      report_.outputs.rows.push_back({cell, token,
                                      job_.inputs.global_token(cell.step, cell.rank, token),
                                      digest_of(row), values.front()});
    }
  }

  // Traffic and times are those of the steps: probes come after.
  void measure() {
    report_.times = watch_.times;
    report_.traffic = ranks_.trace().traffic();
    is_measured_ = true;
  }

  // After the last step: the sampled cells again, as they were and changed.
  void probe() {
    measure();
    watch_.is_probing = true;
    const bool is_ordered = sums_over_dispatch_group() || sums_messages();
    watch_.keeps_combine_in = is_ordered ? host_.get() : nullptr;
    probes_.run([&](golden::Cell cell, const CellInputs& inputs) {
      if (job_.stop.load()) throw Interrupted{};
      const Ran ran = forward(cell, inputs);
      const Tensor& output = ran.output.tensor();
      Buffer on_host(*host_, {output.rows, output.columns, output.dtype});
      memory_.copy_to_host(output, on_host.tensor());
      return on_host;
    });
    if (!is_ordered || watch_.combine.rows_per_rank.empty()) return;
    const ReductionRecipe& recipe = job_.backend.capabilities.recipe;
    if (sums_messages()) {
      return check_message_order(watch_.combine, owners_combine(), recipe, groups_.ep,
                                 {watch_.cell, watch_.ledger});
    }
    check_order(watch_.combine, recipe, dispatch_group(groups_, parallel_), watch_.cell,
                watch_.ledger);
  }

  // Whether the layer's combine adds rows that owners send home. Of masked ranks none comes, which
  // the replay does not know.
  bool sums_messages() const {
    return has_ordered_messages(job_.backend.capabilities.recipe) && moves_rows() &&
           job_.scenario.world.masked_ranks.empty() &&
           job_.backend.capabilities.dispatch_reach == DispatchReach::owner_ranks;
  }

  // Ranks of a TP group that split the sending have their share of the rows each.
  OwnersCombine owners_combine() const {
    OwnersCombine owners{.expert_map = expert_map_,
                         .num_rows = watch_.combine.output.tensor().rows,
                         .weight_on_input = job_.scenario.model.router_weight_on_input};
    if (!facts_.sources.are_split) return owners;
    const std::vector<Count> shares = even_split(owners.num_rows, facts_.sources.replicas);
    owners.first_row = rows_before(shares, groups_.tp.rank());
    owners.num_rows = shares[static_cast<std::size_t>(groups_.tp.rank())];
    return owners;
  }

  // Whether the combine is the sum over the dispatch group's ranks that the recipe promises.
  bool sums_over_dispatch_group() const {
    return has_ordered_sum(job_.backend.capabilities.recipe) &&
           job_.backend.capabilities.dispatch_reach == DispatchReach::every_rank && moves_rows() &&
           dispatch_group(groups_, parallel_).size() == groups_.ep.size();
  }

  void note_nearest(golden::Cell cell, const std::optional<golden::Mismatch>& nearest) {
    const std::optional<LocatedElement>& so_far = report_.nearest;
    if (!nearest || (so_far && nearest->share() <= so_far->mismatch.share())) return;
    report_.nearest = LocatedElement{cell, *nearest};
  }

  void judge_cell(golden::Cell cell, const CellInputs& inputs, const Tensor& output) {
    const auto begin = std::chrono::steady_clock::now();
    const golden::CellJudgement judgement = golden::judge(
        golden_knows(job_.scenario, how_) ? job_.golden : nullptr, cell, output,
        [&] { return job_.inputs.expected(cell, inputs, how_); },
        num_roundings(job_.scenario, job_.backend.capabilities));
    note_nearest(cell, judgement.comparison.nearest);
    report_.rows += output.rows;
    if (job_.progress != nullptr) job_.progress->rows += output.rows;
    if (judgement.finding != golden::Finding::agrees) {
      report_.mismatches += judgement.comparison.mismatches;
      ++report_.differing_cells;
      const bool is_copy = deployment_.sizes.num_ranks() > deployment_.sizes.dp;
      if (report_.findings.size() < findings_kept) {
        report_.findings.push_back(
            {cell, judgement.finding, judgement.comparison.first,
             text(is_copy ? text("on rank ", rank_, " of the world: ") : "", judgement.sentence)});
      }
    }
    report_.judging += std::chrono::steady_clock::now() - begin;
  }

  const RankJob& job_;
  RankReport& report_;
  int rank_;
  Memory& memory_;
  Deployment deployment_;
  RankCoordinates at_;
  FusedMoEParallelConfig parallel_;
  std::unique_ptr<Memory> host_;
  std::unique_ptr<Kernels> kernels_;
  ExpertMap expert_map_;
  NaiveForm naive_form_ = backend_choice(job_.scenario, job_.line).naive_form;
  LayerWatch watch_;
  RankGroups ranks_;
  ParallelGroups groups_;
  RowHomes homes_{row_homes(job_.backend.capabilities, dispatch_group(groups_, parallel_))};
  EngineSteps engine_{job_, ranks_, at_, parallel_};
  LayerRange stage_;  // the layers that run here
  std::unique_ptr<ExpertBalance> balance_ = make_balance();
  ConservationFacts facts_{job_.inputs,
                           expert_map_,
                           job_.backend.capabilities,
                           parallel_,
                           moves_rows(),
                           tp_sources(job_.backend.capabilities, job_.scenario.world),
                           balance_.get(),
                           row_quantization(job_.scenario, job_.backend.capabilities, moves_rows()),
                           &watch_.part};
  const RowsAtExperts how_ = rows_arriving(job_.scenario, job_.backend.capabilities, moves_rows());
  const std::optional<DpChunking> chunks_ = dp_chunks_of(job_.scenario, job_.line);
  std::vector<MoeRunner> layers_;
  LayerProbes probes_{{.scenario = job_.scenario,
                       .inputs = job_.inputs,
                       .stage = stage_,
                       .world_rank = rank_,
                       .how = how_,
                       .num_roundings = num_roundings(job_.scenario, job_.backend.capabilities)},
                      watch_.ledger};
  bool is_measured_ = false;  // traffic and times are in the report
};

// Runs and turns whatever was thrown into the report's failure.
void run_caught(RankProgram& program, RankReport& report) {
  try {
    program.run();
  } catch (const Interrupted&) {
    report.failure = failure_now(FailureKind::interrupted, "interrupted");
  } catch (const DisagreementError& error) {
    report.failure = failure_of(error);
    report.ledger.found(error.check(), program.moment(), error.what());
  } catch (const RefusedCallError& error) {
    const std::string where = program.last_operation();
    report.failure = failure_now(FailureKind::refused, text(where, ": ", error.what()));
  } catch (const std::exception& error) {
    report.failure = failure_of(error);
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
    if (report.failure.kind != FailureKind::none) throw Failed{};
  } catch (const Failed&) {
  } catch (const std::exception& error) {
    report.failure = failure_of(error);
  }
  return report;
}

}  // namespace moe::sim
