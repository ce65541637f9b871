// Data parallel ranks that share the experts, dealt out in a line; TP and PCP are groups of one.
// Weights are values of no model.

#include "sim/bench_parts.h"

#include "backends/batched_experts.h"
#include "backends/placement/expert_placement.h"
#include "backends/routers.h"
#include "sim/bench_inputs.h"
#include "sim/registry.h"

namespace moe::sim {

BenchParts::BenchParts(const BenchSettings& settings, Communicator& group)
    : settings_(settings),
      backend_(*backend_named(settings.backend).backend),
      memory_(group.memory()),
      rank_(group.rank()),
      parallel_(make_parallel_config({.sizes = {.dp = settings.world_size}}, rank_)),
      expert_map_(
          determine_expert_map(settings.shape.num_experts, group.size(), Placement::linear)),
      homes_(row_homes(backend_.capabilities, group)) {}

bool BenchParts::is_batched() const {
  return backend_.capabilities.activation_format == ActivationFormat::batched_experts;
}

int BenchParts::local_count() const {
  return expert_map_.num_local_experts[static_cast<std::size_t>(rank_)];
}

// Null where tensors are to lie in the kernels' memory.
Memory* BenchParts::home(Kernels& kernels, Memory& home) const {
  return &kernels.memory() == &memory_ ? &home : nullptr;
}

std::unique_ptr<Router> BenchParts::router(Kernels& kernels) const {
  return make_router(kernels,
                     {.num_experts = settings_.shape.num_experts, .top_k = settings_.shape.top_k},
                     {home(kernels, homes_.topk_ids), home(kernels, homes_.topk_weights)});
}

std::unique_ptr<PrepareFinalize> BenchParts::prepare_finalize(const ParallelGroups& groups,
                                                              Kernels& kernels,
                                                              Provenance provenance) const {
  return backend_.make({.groups = groups,
                        .parallel = parallel_,
                        .memory = kernels.memory(),
                        .expert_map = expert_map_,
                        .provenance = provenance,
                        .kernels = &kernels,
                        .max_num_tokens = bench_capacity(settings_, backend_.capabilities)});
}

std::unique_ptr<Experts> BenchParts::experts(Kernels& kernels) const {
  const ExpertsConfig config{.kernels = kernels,
                             .expert_map = expert_map_.slots_on(rank_),
                             .num_local_experts = local_count(),
                             .expert_output = home(kernels, homes_.expert_output)};
  GemmWeights weights = random_weights(settings_, kernels.memory(), local_count(), rank_);
  if (is_batched()) return make_batched_experts(config, std::move(weights));
  return make_standard_experts(config, std::move(weights));
}

LayerParts BenchParts::all(const ParallelGroups& groups, Kernels& kernels,
                           Provenance provenance) const {
  return {router(kernels), prepare_finalize(groups, kernels, provenance), experts(kernels)};
}

}  // namespace moe::sim
