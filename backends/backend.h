// Backend: one row of registry.def as a value, and what a backend is built from.
// Each backend's file defines one constant of this type under its own name.

#pragma once

#include "backends/all2all_manager.h"
#include "backends/capabilities.h"
#include "backends/moe_layer.h"
#include "backends/parallel/parallel_config.h"
#include "backends/profile.h"
#include "backends/row_quantization.h"
#include "kernels/base/expert_map.h"
#include "kernels/kernels.h"

namespace moe {

enum class Provenance { off, travels };

// LIFETIME: the references outlive the PrepareFinalize.
struct PrepareFinalizeConfig {
  const ParallelGroups& groups;
  FusedMoEParallelConfig parallel;
  Memory& memory;
  const ExpertMap& expert_map;  // over the ranks of the EP group; one rank without EP
  Provenance provenance = Provenance::off;
  NaiveForm naive_form = NaiveForm::ep_group;  // of the profile
  Kernels* kernels = nullptr;                  // of this rank; null: for backends without messages
  Count max_num_tokens = 0;                    // fixed capacity: rows that a rank may hand in
  bool weight_on_input = false;                // router weights are in the rows already
  std::vector<int> masked_ranks = {};          // of the EP group: their experts get nothing
  RowQuantization quantization = {};           // of this layer's rows
  std::uint64_t arrival_seed = 0;  // of rows whose order is nobody's promise; 0: by rank

  // Where this rank's rows are dispatched to.
  Communicator& group() const { return dispatch_group(groups, parallel); }
};

struct Backend {
  Capabilities capabilities;
  std::unique_ptr<PrepareFinalize> (*make)(const PrepareFinalizeConfig& config);
  // Dispatch in line, for a runner that dispatches itself. Null: like vLLM's managers that only
  // hand out handles, it has none.
  std::unique_ptr<All2AllManager> (*make_manager)(const PrepareFinalizeConfig& config) = nullptr;
};

// Where rows are dispatched: inside the kernel by its PrepareFinalize, or around it by the runner
// (vLLM: quantisation methods without a modular kernel; distribution-layer.md, 11.1).
// runner_batched: by the runner, and the layer puts the rows that came into the batched format by
// itself (XPU's moe_backend=batched_triton: distribution-layer.md, 2.6).
enum class DispatchSite { kernel, runner, runner_batched };

// The PrepareFinalize that the layer gets: the backend's, or one that moves nothing.
std::unique_ptr<PrepareFinalize> make_prepare_finalize(const Backend& backend, DispatchSite site,
                                                       const PrepareFinalizeConfig& config);

// What the runner dispatches with; null where it leaves that to the layer. PCP ranks that the layer
// does not join are gathered here.
std::unique_ptr<All2AllManager> make_in_line_manager(const Backend& backend, DispatchSite site,
                                                     const PrepareFinalizeConfig& config);

// Whether the layer's own PrepareFinalize moves rows between ranks.
bool layer_moves_rows(const Backend& backend, DispatchSite site);

}  // namespace moe
