// nixl_ep: NIXL EP, whose contract is that of DeepEP's low-latency mode.
// vLLM: prepare_finalize/nixl_ep.py; distribution-layer.md, 9.5.

#include "backends/low_latency.h"

namespace moe::backends {

extern const Backend nixl_ep;
const Backend nixl_ep = {.capabilities = low_latency_capabilities(),
                         .make = slot_dispatch_of<nixl_ep>};

}  // namespace moe::backends
