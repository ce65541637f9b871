// mori_low_latency: MoRI with its low-latency kernels (vLLM: since #41751); the same contract.
// One copy of a row for each rank that owns a choice, into worst-case room with a count on the
// device. vLLM: prepare_finalize/mori.py; distribution-layer.md, 9.6.

#include "backends/mori.h"

namespace moe::backends {

extern const Backend mori_low_latency;
const Backend mori_low_latency = {.capabilities = mori_capabilities(),
                                  .make = rank_dispatch_of<mori_low_latency>};

}  // namespace moe::backends
