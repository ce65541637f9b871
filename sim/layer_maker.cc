// Layers from the parts of a run line: each part behind its faults, and those behind what watches.
// The order of decorators is the same for every part: the part, its faults, its watch.

#include "sim/layer_maker.h"

#include <utility>

#include "backends/batched_experts.h"
#include "backends/monolithic.h"
#include "backends/placement/tensor_shard.h"
#include "backends/routers.h"
#include "backends/weighted_input.h"
#include "sim/backend_choice.h"
#include "sim/exact_weights.h"
#include "sim/expert_balance.h"
#include "sim/faults.h"
#include "sim/generated_logits.h"
#include "sim/loaded_experts.h"
#include "sim/placement_choice.h"
#include "sim/placement_faults.h"
#include "sim/quantization_choice.h"
#include "sim/rank_program.h"
#include "sim/weight_watch.h"

namespace moe::sim {
namespace {

std::unique_ptr<WeightQuantizer> weight_quantizer(const LayerSite& at, int layer) {
  auto quantizer = make_weight_quantizer(at.kernels);
  if (find_fault(at.job.faults, "MF-66", at.rank)) {
    quantizer = with_first_experts_scales(std::move(quantizer), at.kernels);
  }
  const TensorShard shard{at.parallel.tp_rank, at.parallel.tp_size};
  if (shard.size > 1) quantizer = with_shard_of_codes(std::move(quantizer), shard, at.kernels);
  const Count intermediate = at.job.scenario.model.layer(layer).intermediate_size;
  return watched(std::move(quantizer), {layer, at.rank, intermediate, shard}, at.memory,
                 at.watch.ledger);
}

}  // namespace

ExpertWeights LayerMaker::weights_of(int layer) const {
  const RankJob& job = at_.job;
  const Placement placement = placement_in(job.scenario, job.backend.capabilities).placement;
  return loaded_experts({job.scenario, job.inputs, job.faults, at_.expert_map, placement,
                         at_.parallel, at_.rank, at_.memory},
                        layer, at_.watch.ledger);
}

// This rank's shard of the shared experts, or all of them where ranks of a TP group hold
// different tokens; null without any.
std::unique_ptr<SharedExperts> LayerMaker::shared_of(int layer) const {
  if (at_.job.scenario.model.num_shared_experts == 0) return nullptr;
  const TensorShard shard = at_.parallel.is_sequence_parallel()
                                ? TensorShard{}
                                : TensorShard{at_.groups.tp.rank(), at_.groups.tp.size()};
  return make_shared_experts(
      at_.kernels,
      shard_of(at_.job.inputs.shared_expert_weights(layer, at_.memory), shard, at_.memory));
}

RouterWeight LayerMaker::router_weight() const {
  return at_.job.scenario.model.router_weight_on_input ? RouterWeight::on_input
                                                       : RouterWeight::on_output;
}

bool LayerMaker::has_logits() const {
  return std::holds_alternative<LogitsRouting>(at_.job.scenario.routing);
}

// The layer's own router where there are logits, else one that repeats what was written down.
std::unique_ptr<Router> LayerMaker::layer_router(int layer) const {
  const int top_k = at_.job.scenario.model.top_k;
  const RoutingMemory homes{&at_.homes.topk_ids, &at_.homes.topk_weights};
  if (!has_logits()) return make_recorded_router(at_.kernels, top_k, homes);
  return with_exact_weights(make_router(at_.kernels, router_spec(at_.job.scenario, layer), homes),
                            top_k, at_.memory);
}

LayerContract LayerMaker::contract_of(int layer) const {
  const ModelSpec& model = at_.job.scenario.model;
  const TpSources& sources = at_.facts.sources;
  return {at_.facts,
          model.layer(layer).hidden_size,
          model.dtype,
          model.top_k,
          at_.expert_map.slots_on(at_.parallel.ep_rank),
          at_.expert_map.num_local_experts[static_cast<std::size_t>(at_.parallel.ep_rank)],
          max_num_tokens(at_.job.scenario, at_.job.backend.capabilities,
                         profile_named(at_.job.line.profile)),
          at_.groups.ep.size() / (sources.are_split ? sources.replicas : 1)};
}

// Experts behind their watch and their faults, and inside them the map of ids behind its own.
std::unique_ptr<Experts> LayerMaker::experts_of(int layer, const LayerContract& contract,
                                                const FaultSite& site) const {
  const auto make = [at = at_, contract, site, layer, weight = router_weight(),
                     own = expert_quantization(at_.job.scenario)](
                        ExpertWeights weights) -> std::unique_ptr<Experts> {
    const auto quantizer = weight_quantizer(at, layer);
    const ExpertsConfig config{at.kernels, contract.local_of, contract.num_local_experts,
                               weight,     contract.dtype,    contract.facts.quantization,
                               own,        quantizer.get(),   &at.homes.expert_output};
    if (contract.is_batched()) return make_batched_experts(config, std::move(weights));
    auto id_map =
        watched(with_faults(make_expert_id_map(at.kernels, contract.local_of), site, at.job.faults),
                at.watch, contract, at.memory);
    if (at.job.line.dispatch_site == DispatchSite::runner_batched) {
      return make_local_batched_experts(config, std::move(weights), std::move(id_map));
    }
    return make_standard_experts(config, std::move(weights), std::move(id_map));
  };
  auto experts = at_.balance == nullptr ? make(weights_of(layer))
                                        : at_.balance->experts(layer, weights_of(layer), make);
  return watched(with_faults(std::move(experts), site, at_.job.faults), at_.watch, contract,
                 at_.memory);
}

// Whatever chooses, behind its faults; where experts are balanced its choices become replicas.
std::unique_ptr<Router> LayerMaker::router_of(int layer, const FaultSite& site) const {
  auto router = with_faults(layer_router(layer), site, at_.job.faults);
  if (at_.balance == nullptr) return router;
  return at_.balance->with_replicas(layer, std::move(router));
}

MoeRunner LayerMaker::make(int layer) const {
  const bool is_late = at_.job.line.selection == Selection::monolithic;
  const DispatchSite where = at_.job.line.dispatch_site;
  const LayerContract contract = contract_of(layer);
  const FaultSite site{at_.rank,
                       layer,
                       at_.memory,
                       contract.local_of,
                       at_.groups,
                       at_.parallel,
                       at_.job.scenario.model.scale,
                       &at_.expert_map};
  const PrepareFinalizeConfig config{
      at_.groups,
      at_.parallel,
      at_.memory,
      at_.expert_map,
      Provenance::travels,
      at_.naive_form,
      &at_.kernels,
      max_num_tokens(at_.job.scenario, at_.job.backend.capabilities,
                     profile_named(at_.job.line.profile)),
      router_weight() == RouterWeight::on_input,
      masked_ranks_known_to(at_.rank, at_.job.scenario.world, at_.job.faults),
      quantization_done(contract.facts.quantization, at_.job.faults),
      at_.job.line.arrival_seed};
  auto experts = experts_of(layer, contract, site);
  auto router = router_of(layer, site);
  if (is_late) {
    experts =
        make_monolithic_experts(std::exchange(router, make_late_router()), std::move(experts));
  }
  auto moving = make_prepare_finalize(at_.job.backend, where, config);
  if (router_weight() == RouterWeight::on_input) {
    moving = with_weighted_input(std::move(moving), at_.kernels);
  }
  auto prepare_finalize = watched(with_faults(std::move(moving), site, at_.job.faults), at_.watch,
                                  contract, at_.trace, at_.memory);
  MoeLayer moe_layer(watched(std::move(router), at_.watch), std::move(prepare_finalize),
                     std::move(experts), &at_.sharing);
  const bool is_reduced = at_.job.backend.capabilities.output_is_reduced;
  const auto factor = static_cast<float>(at_.job.scenario.model.scale);
  return MoeRunner(MoeRunnerConfig{at_.groups, at_.parallel, at_.memory, at_.kernels, is_reduced,
                                   factor, &at_.homes.expert_output},
                   std::move(moe_layer), make_in_line_manager(at_.job.backend, where, config),
                   with_faults(watched(shared_of(layer), at_.watch, contract.facts, at_.memory),
                               site, at_.job.faults));
}

}  // namespace moe::sim
