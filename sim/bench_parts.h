// The parts of a bench's layer on one rank: what its backend brings, a router, experts with made-up
// weights. Put together and timed in bench_rank.cc.

#pragma once

#include <memory>

#include "backends/backend.h"
#include "backends/row_homes.h"
#include "sim/bench.h"

namespace moe::sim {

// To be called one by one.
struct LayerParts {
  std::unique_ptr<Router> router;
  std::unique_ptr<PrepareFinalize> prepare_finalize;
  std::unique_ptr<Experts> experts;
};

// LIFETIME: settings and group outlive it.
class BenchParts {
 public:
  // group: of the ranks that share the experts. Collective, as row_homes.
  BenchParts(const BenchSettings& settings, Communicator& group);

  const Backend& backend() const { return backend_; }
  const RowHomes& homes() const { return homes_; }
  const ExpertMap& expert_map() const { return expert_map_; }
  bool is_batched() const;
  int local_count() const;

  // Parts whose tensors lie in the kernels' memory; in the homes if that is the group's own.
  std::unique_ptr<Router> router(Kernels& kernels) const;
  std::unique_ptr<PrepareFinalize> prepare_finalize(const ParallelGroups& groups, Kernels& kernels,
                                                    Provenance provenance) const;
  LayerParts all(const ParallelGroups& groups, Kernels& kernels, Provenance provenance) const;

 private:
  std::unique_ptr<Experts> experts(Kernels& kernels) const;
  Memory* home(Kernels& kernels, Memory& home) const;

  const BenchSettings& settings_;
  const Backend& backend_;
  Memory& memory_;
  int rank_;
  FusedMoEParallelConfig parallel_;
  ExpertMap expert_map_;
  RowHomes homes_;
};

}  // namespace moe::sim
