// Weights are loaded by physical expert: a redundant one gets those of its logical expert
// (experts-and-oracles.md, 2.3).

#include "sim/loaded_experts.h"

#include "backends/placement/replica_maps.h"
#include "backends/placement/tensor_shard.h"
#include "sim/map_check.h"
#include "sim/placement_faults.h"
#include "sim/quantization_choice.h"

namespace moe::sim {
namespace {

// The logical experts of a rank's slots.
std::vector<int> logical_experts(const ModelSpec& model, const ExpertMap& map, int rank) {
  const std::vector<int> logical_of =
      initial_physical_to_logical(model.num_experts, model.num_redundant_experts);
  std::vector<int> experts;
  for (const int physical : experts_of_rank(map, rank)) {
    experts.push_back(logical_of[static_cast<std::size_t>(physical)]);
  }
  return experts;
}

}  // namespace

ExpertWeights loaded_experts(const ExpertLoader& loader, int layer, CheckLedger& ledger) {
  const ModelSpec& model = loader.scenario.model;
  const int rank = loader.parallel.ep_rank;
  const ExpertMap loading =
      loading_map(loader.expert_map, loader.placement, loader.world_rank, loader.faults);
  ExpertWeights weights =
      loader.inputs.expert_weights(layer, logical_experts(model, loading, rank), loader.memory);
  const MapMoment at{{0, layer, 0, loader.world_rank}, "as loaded"};
  check_placement(loader.expert_map, loader.placement, at, ledger);
  const std::vector<int> routed_to = logical_experts(model, loader.expert_map, rank);
  ExpertDigests digests(loader.inputs, loader.memory);
  const SlotsLookedAt which =
      model.kernel == ExpertKernel::probe ? SlotsLookedAt::all : SlotsLookedAt::ends;
  check_slots({layer, loader.world_rank, routed_to, weights}, which, digests, at, ledger);
  // Codes are made of whole experts, and then cut (layer_maker.cc).
  if (expert_quantization(loader.scenario).weights != QuantRecipe::none) return weights;
  return shard_of(std::move(weights), {loader.parallel.tp_rank, loader.parallel.tp_size},
                  loader.memory);
}

}  // namespace moe::sim
