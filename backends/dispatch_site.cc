// Who dispatches: the layer's PrepareFinalize or the runner around it (vLLM: all2all_utils.py's
// choice of a PrepareFinalize, moe_runner.py's _maybe_dispatch; distribution-layer.md, 8 and 11.1).

#include "backends/backend.h"
#include "backends/gathered_rows.h"
#include "kernels/base/check.h"

namespace moe {

bool layer_moves_rows(const Backend& backend, DispatchSite site) {
  return site == DispatchSite::kernel &&
         backend.capabilities.dispatch_reach != DispatchReach::own_rank;
}

std::unique_ptr<PrepareFinalize> make_prepare_finalize(const Backend& backend, DispatchSite site,
                                                       const PrepareFinalizeConfig& config) {
  return layer_moves_rows(backend, site) ? backend.make(config) : make_local_rows(config);
}

std::unique_ptr<All2AllManager> make_in_line_manager(const Backend& backend, DispatchSite site,
                                                     const PrepareFinalizeConfig& config) {
  if (layer_moves_rows(backend, site)) return nullptr;
  if (config.parallel.pcp_size > 1) return make_all_gather_manager(config.groups.pcp);
  if (config.parallel.dp_size == 1 && !config.parallel.is_sequence_parallel()) return nullptr;
  MOE_CHECK(backend.make_manager != nullptr, "a backend without in-line dispatch, and DP ranks");
  return backend.make_manager(config);
}

}  // namespace moe
