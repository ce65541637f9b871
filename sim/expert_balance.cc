// What happens between steps, in vLLM's order: loads are added up, each layer's plan is made and
// carried out; then MAP looks at what is in force and OBS holds it against what was executed.

#include "sim/expert_balance.h"

#include <functional>
#include <utility>

#include "kernels/base/text.h"
#include "sim/batched_check.h"
#include "sim/faults.h"
#include "sim/host_copy.h"
#include "sim/placement_faults.h"

namespace moe::sim {
namespace {

constexpr int eplb_stage = 2;  // of stage_names

// Experts that tell of what they are given to compute.
class CountedExperts final : public Experts {
 public:
  using Tell = std::function<void(const Dispatched& dispatched)>;

  CountedExperts(std::unique_ptr<Experts> inner, Tell tell)
      : inner_(std::move(inner)), tell_(std::move(tell)) {}

  Tensor apply(Dispatched& dispatched) override {
    tell_(dispatched);
    return inner_->apply(dispatched);
  }

 private:
  std::unique_ptr<Experts> inner_;
  Tell tell_;
};

// Groups that do not divide the experts are none, as for a router that falls back.
int groups_of(const ModelSpec& model) {
  return model.num_experts % model.num_expert_groups == 0 ? model.num_expert_groups : 1;
}

ReplicaMaps first_maps(const ModelSpec& model) {
  return replica_maps(initial_physical_to_logical(model.num_experts, model.num_redundant_experts),
                      model.num_experts);
}

// The experts that the maps send to a rank's slots.
std::span<const int> slots_of(const ReplicaMaps& maps, int rank, int num_ranks) {
  const std::size_t each = maps.physical_to_logical.size() / static_cast<std::size_t>(num_ranks);
  return std::span(maps.physical_to_logical).subspan(static_cast<std::size_t>(rank) * each, each);
}

}  // namespace

ExpertBalance::ExpertBalance(const BalancedRank& rank)
    : rank_(rank),
      world_{.num_physical = rank.scenario.model.num_physical_experts(),
             .num_groups = groups_of(rank.scenario.model),
             .num_nodes = rank.scenario.eplb->num_nodes,
             .num_ranks = rank.parallel.ep_size},
      choice_(profile_named(rank.line.profile).replica_choice),
      clock_(rank.scenario.eplb->settings),
      recorded_(rank.stage.last - rank.stage.first, world_.num_physical,
                rank.scenario.eplb->settings.window_size),
      executed_(recorded_),
      digests_(rank.inputs, rank.memory) {}

std::unique_ptr<Experts> ExpertBalance::experts(int layer, ExpertWeights weights,
                                                ExpertsMaker make) {
  MOE_CHECK(index_of(layer) == placements_.size(), text("layer ", layer, " out of order"));
  LayerPlacement* earlier = placements_.empty() ? nullptr : placements_.back().get();
  placements_.push_back(
      with_faults(make_layer_placement(first_maps(rank_.scenario.model), std::move(weights)),
                  {rank_.world_rank, layer, earlier, rank_.memory}, rank_.faults));
  auto placed = make_placed_experts(*placements_.back(), std::move(make), rank_.memory);
  return std::make_unique<CountedExperts>(std::move(placed),
                                          [this, layer](const Dispatched& dispatched) {
                                            if (is_counting()) count_executed(layer, dispatched);
                                          });
}

std::unique_ptr<Router> ExpertBalance::with_replicas(int layer, std::unique_ptr<Router> inner) {
  const LayerPlacement& placement = *placements_[index_of(layer)];
  const bool counts_pads = find_fault(rank_.faults, "MF-48", rank_.world_rank) != nullptr;
  auto router = moe::with_replicas(
      std::move(inner),
      {.placement = placement,
       .choice = choice_,
       .load = recorded_,
       .layer = static_cast<int>(index_of(layer)),
       .counted_rows = [this, counts_pads] { return counted_rows(counts_pads); }},
      rank_.memory);
  return with_pick_faults(std::move(router), placement,
                          {rank_.world_rank, layer, nullptr, rank_.memory}, rank_.faults);
}

// A row of this rank's router: padding is nobody's load.
CountsRow ExpertBalance::counted_rows(bool counts_pads) const {
  if (!is_counting()) return [](Count) { return false; };
  if (counts_pads) return [](Count) { return true; };
  DispatchedTokens tokens(rank_.parallel, rank_.inputs.tokens(rank_.watch.cell.step),
                          rank_.layer_moves_rows, {}, part_of_call());
  const int source = std::size(tokens.rows_per_rank()) == 1 ? 0 : dispatch_rank(rank_.parallel);
  return [tokens = std::move(tokens), source](Count row) {
    return tokens.is_token(provenance_tag(source, row));
  };
}

DispatchedTokens ExpertBalance::dispatched_tokens(int step) const {
  return {rank_.parallel, rank_.inputs.tokens(step), rank_.layer_moves_rows, rank_.sources,
          part_of_call()};
}

const CallPart* ExpertBalance::part_of_call() const {
  const std::optional<CallPart>& part = rank_.watch.part;
  return part ? &*part : nullptr;
}

void ExpertBalance::count_executed(int layer, const Dispatched& dispatched) {
  if (dispatched.routing.topk_ids.columns == 0) return count_batched(layer, dispatched);
  const DispatchedTokens tokens = dispatched_tokens(rank_.watch.cell.step);
  const HostCopy tags(dispatched.provenance, rank_.memory);
  const HostCopy ids(dispatched.routing.topk_ids, rank_.memory);
  const auto tag_of = elements_of<std::int64_t>(tags.tensor());
  const auto chosen = elements_of<std::int32_t>(ids.tensor());
  const int each = world_.num_physical / world_.num_ranks;
  const auto top_k = static_cast<std::size_t>(ids.tensor().columns);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::int64_t tag = tag_of[i / top_k];
    if (!tokens.is_token(tag)) continue;
    if (chosen[i] < 0 || chosen[i] / each != rank_.parallel.ep_rank) continue;
    executed_.count(static_cast<int>(index_of(layer)), chosen[i]);
  }
}

void ExpertBalance::count_batched(int layer, const Dispatched& dispatched) {
  const DispatchedTokens tokens = dispatched_tokens(rank_.watch.cell.step);
  const HostCopy tags(dispatched.provenance, rank_.memory);
  const auto tag_of = elements_of<std::int64_t>(tags.tensor());
  int physical = rank_.parallel.ep_rank * (world_.num_physical / world_.num_ranks);
  for (const auto& [first, count] : valid_rows(dispatched, rank_.memory)) {
    for (Count row = first; row < first + count; ++row) {
      const std::int64_t tag = tag_of[static_cast<std::size_t>(row)];
      if (!tokens.is_token(tag)) continue;
      executed_.count(static_cast<int>(index_of(layer)), physical);
    }
    ++physical;
  }
}

void ExpertBalance::before_step(int step) {
  if (step == 0) return check_maps({{0, rank_.stage.first, 0, rank_.world_rank}, "as loaded"});
  if (!is_due_) return;
  is_due_ = false;
  const int ended = step - 1;
  const Loads loads = compared_loads(ended);
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    const ReplicaMaps before = placements_[i]->maps();
    const ReplicaMaps expected = planned_maps(before, loads.executed[i], world_);
    const std::vector<int> refusing =
        rearrange(*placements_[i], planned_maps(before, loads.recorded[i], world_), rank_.group);
    check_plan(rank_.stage.first + static_cast<int>(i), expected, refusing, ended);
  }
  check_maps(moment_after(ended));
}

void ExpertBalance::after_step(int step) {
  if (clock_.is_recording()) {
    recorded_.end_pass();
    executed_.end_pass();
  }
  last_step_ = step;
  is_due_ = clock_.end_step();
}

void ExpertBalance::finish() {
  if (last_step_ >= 0) compared_loads(last_step_);
}

std::vector<std::int16_t> ExpertBalance::travelling(int layer, Count row,
                                                    std::span<const std::int16_t> chosen) const {
  const ReplicaMaps& maps = placements_[index_of(layer)]->maps();
  std::vector<std::int16_t> ids;
  for (int slot = 0; slot < std::ssize(chosen); ++slot) {
    const ChoicePlace place{row, slot, static_cast<int>(chosen.size())};
    ids.push_back(static_cast<std::int16_t>(
        physical_id(maps, choice_, place, chosen[static_cast<std::size_t>(slot)])));
  }
  return ids;
}

// The group's loads, recorded ones as they are, executed ones times the ranks that route each row:
// ranks of a TP group that hold the same tokens all record them, one of them computes each choice.
ExpertBalance::Loads ExpertBalance::compared_loads(int step) {
  rank_.trace.enter({step, rank_.stage.first, eplb_stage});
  LayerLoads own = recorded_.sum();
  for (auto& layer : executed_.sum()) own.push_back(std::move(layer));
  Loads loads{loads_of_group(own, rank_.group), {}};
  const auto half = loads.recorded.begin() + std::ssize(placements_);
  loads.executed.assign(half, loads.recorded.end());
  loads.recorded.erase(half, loads.recorded.end());
  const auto sources = static_cast<double>(std::size(dispatched_tokens(step).rows_per_rank()));
  const int parts = rank_.sources.are_split ? rank_.sources.replicas : 1;
  const double copies = world_.num_ranks * parts / sources;
  for (auto& layer : loads.executed) {
    for (double& load : layer) load *= copies;
  }
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    compare_loads(rank_.stage.first + static_cast<int>(i), loads, step);
  }
  return loads;
}

void ExpertBalance::compare_loads(int layer, const Loads& loads, int step) {
  rank_.watch.ledger.looked("OBS");
  const std::vector<double>& recorded = loads.recorded[index_of(layer)];
  const std::vector<double>& executed = loads.executed[index_of(layer)];
  for (std::size_t slot = 0; slot < recorded.size(); ++slot) {
    if (recorded[slot] == executed[slot]) continue;
    return rank_.watch.ledger.found(
        "OBS", moment_after(step).moment,
        text("loads after step ", step, ": layer ", layer, ", physical expert ", slot,
             ": the routers recorded ", recorded[slot], " choices, the experts computed ",
             executed[slot]));
  }
}

void ExpertBalance::check_plan(int layer, const ReplicaMaps& expected,
                               std::span<const int> refusing, int step) {
  const std::vector<int>& held = placements_[index_of(layer)]->maps().physical_to_logical;
  for (std::size_t slot = 0; slot < held.size(); ++slot) {
    if (held[slot] == expected.physical_to_logical[slot]) continue;
    return rank_.watch.ledger.found(
        "OBS", moment_after(step).moment,
        text("plan after step ", step, ": layer ", layer, ": physical expert ", slot,
             " is a replica of expert ", held[slot], ", what was computed asks for expert ",
             expected.physical_to_logical[slot],
             refusing.empty() ? ""
                              : text("; EP rank ", joined(refusing),
                                     " received wrong weights, so that all keep the old maps")));
  }
}

void ExpertBalance::check_maps(const MapMoment& at) {
  std::vector<const ReplicaMaps*> maps;
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    const ReplicaMaps& of_layer = placements_[i]->maps();
    maps.push_back(&of_layer);
    check_slots(
        {rank_.stage.first + static_cast<int>(i), rank_.world_rank,
         slots_of(of_layer, rank_.parallel.ep_rank, world_.num_ranks), placements_[i]->weights()},
        SlotsLookedAt::all, digests_, at, rank_.watch.ledger);
  }
  rank_.trace.enter({at.moment.step, rank_.stage.first, eplb_stage});
  check_same_maps(maps, rank_.stage.first, rank_.group, at, rank_.watch.ledger);
}

MapMoment ExpertBalance::moment_after(int step) const {
  return {{step, rank_.stage.last - 1, eplb_stage, rank_.world_rank}, text("after step ", step)};
}

}  // namespace moe::sim
