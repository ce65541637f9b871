// The live engine is held against the plan that made the scenario's steps: whoever runs another
// step than that would be judged by another step's rows.

#include "sim/engine_steps.h"

#include <algorithm>
#include <numeric>

#include "backends/config/backend_traits.h"
#include "backends/config/validation.h"
#include "kernels/base/text.h"
#include "sim/dp_chunks.h"
#include "sim/engine_scenario.h"
#include "sim/faults.h"

namespace moe::sim {
namespace {

// What DP ranks must have in common, in words.
std::string config_words(const RankJob& job, const FusedMoEParallelConfig& parallel) {
  return text("all2all_backend ",
              configured_backend(profile_named(job.line.profile), job.line.backend), ", dp ",
              parallel.dp_size, ", pcp ", parallel.pcp_size, ", ep ", parallel.ep_size,
              ", tp of experts ", parallel.tp_size, ", sp ", parallel.sp_size);
}

}  // namespace

EngineSettings engine_settings(const Scenario& scenario, const RunLine& line) {
  const Profile& profile = profile_named(line.profile);
  EngineSettings settings = *scenario.engine;
  settings.coordination.form = sync_form_of(profile);
  settings.vote_form = vote_form_of(profile);
  return settings;
}

std::string micro_batch_refusal(const Scenario& scenario, const RunLine& line) {
  const auto chunking = dp_chunks_of(scenario, line);
  if (!scenario.engine || !chunking) return "";
  const EngineSettings settings = engine_settings(scenario, line);
  for (const PlannedStep& step : planned_steps(settings, scenario.world.dp, engine_steps_max)) {
    if (!step.decision.micro_batches) continue;
    const Count half = (step.tokens[0] + 1) / settings.coordination.num_micro_batches;
    if (half <= chunking->rows_max) continue;
    return text("micro-batches of ", half, " tokens do not fit the DP chunks of profile ",
                line.profile, " (", chunking->rows_max,
                " rows): chunks within micro-batches are not emulated");
  }
  return "";
}

std::string engine_refusal(const Scenario& scenario, const RunLine& line) {
  if (!scenario.engine) return "";
  const Profile& profile = profile_named(line.profile);
  if (scenario.engine->graph_mode == GraphMode::none) return "";
  const std::string_view backend = configured_backend(profile, line.backend);
  if (scenario.world.dp > 1 && traits_of(backend).needs_host_counts) {
    return text(
        "V11 sets the graph mode of ", backend, " to none, but the steps of a scenario are ",
        "those of all its lines, which pad for graphs (", name_of(scenario.engine->graph_mode),
        "): give ", backend, " a scenario of its own, or set engine.graph_mode: none");
  }
  if (sync_form_of(profile) != SyncForm::two_rows) return "";
  return text("ranks of profile ", profile.name,
              " do not tell each other their graph mode: engine.graph_mode must be none, not ",
              name_of(scenario.engine->graph_mode));
}

EngineSteps::EngineSteps(const RankJob& job, RankGroups& ranks, const RankCoordinates& at,
                         const FusedMoEParallelConfig& parallel)
    : job_(job), ranks_(ranks), at_(at) {
  if (!job.scenario.engine) return;
  const ParallelSizes sizes = job.scenario.world.deployment().sizes;
  dp_members_ = own_group(GroupKind::dp, sizes, ranks.trace().rank()).members;
  const bool is_wrong_group = find_fault(job.faults, "MF-26", ranks.trace().rank()) != nullptr;
  const ParallelGroups groups = ranks.groups();
  const EngineSettings settings = engine_settings(job.scenario, job.line);
  check_same_config(groups.dp, config_words(job, parallel));
  engine_.emplace(is_wrong_group ? groups.ep : groups.dp, DpPlace{at.dp, sizes.dp}, settings);
  plan_ = planned_steps(settings, sizes.dp, engine_steps_max);
}

RowCounts EngineSteps::tokens(int step) const {
  return step == step_ ? RowCounts(tokens_) : job_.inputs.tokens(step);
}

bool EngineSteps::in_micro_batches(int step) const {
  return engine_ && plan_.at(static_cast<std::size_t>(step)).decision.micro_batches;
}

// MF-38: the first dummy batch from a step on, once.
bool EngineSteps::skips(int step) const {
  const FaultSpec* fault = find_fault(job_.faults, "MF-38", ranks_.trace().rank());
  if (fault == nullptr || has_skipped_ || step < fault_parameter(*fault, "step")) return false;
  const EngineStep& planned =
      plan_.at(static_cast<std::size_t>(step)).of_rank.at(static_cast<std::size_t>(at_.dp));
  return planned.kind == BatchKind::dummy;
}

bool EngineSteps::begin(int step) {
  if (!engine_) return true;
  ranks_.trace().enter({step, -1, -1});
  if (skips(step)) {
    has_skipped_ = true;
    engine_->skip_step();
    return false;
  }
  const std::optional<AgreedStep> agreed = engine_->next_step();
  if (agreed) check_group();
  const PlannedStep& planned = plan_.at(static_cast<std::size_t>(step));
  const EngineStep& own = planned.of_rank.at(static_cast<std::size_t>(at_.dp));
  if (!agreed || agreed->step != own || agreed->decision != planned.decision) {
    throw DisagreementError(
        "PROG",
        text("step ", step, ": the engine of DP rank ", at_.dp, " comes to ",
             agreed ? text("tick ", agreed->step.tick, " with ", agreed->num_tokens, " tokens")
                    : std::string("its end"),
             ", its requests need tick ", own.tick, " with ",
             planned.tokens.at(static_cast<std::size_t>(at_.dp)), " tokens"));
  }
  tokens_ = planned.tokens;
  step_ = step;
  if (find_fault(job_.faults, "MF-41", ranks_.trace().rank()) != nullptr) patch_own_count();
  ranks_.trace_of(GroupKind::dp).agree_on(text("step ", step, ": token counts"), tokens_);
  return true;
}

void EngineSteps::end() {
  if (engine_) engine_->end_step();
}

// GROUP: ranks agreed on their batch over the DP group, and no other.
void EngineSteps::check_group() const {
  if (dp_members_.size() == 1) return;
  const GroupWords& last = ranks_.trace().last_group();
  std::vector<int> ranks = last.ranks;
  if (ranks.empty()) {
    ranks.resize(static_cast<std::size_t>(ranks_.trace().size()));
    std::iota(ranks.begin(), ranks.end(), 0);
  }
  if (ranks == dp_members_) return;
  throw DisagreementError(
      "GROUP", text(ranks_.trace().last_operation(), ": DP ranks agree on their batch over dp [",
                    joined(dp_members_), "], this was over ranks [", joined(ranks), "]"));
}

// MF-41: this rank alone takes its own count for the padded one.
void EngineSteps::patch_own_count() {
  tokens_.at(static_cast<std::size_t>(at_.dp)) = std::ranges::max(tokens_);
}

}  // namespace moe::sim
