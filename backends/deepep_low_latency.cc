// deepep_low_latency: DeepEP's low-latency mode, one message for each choice into fixed room.
// vLLM: prepare_finalize/deepep_ll.py; distribution-layer.md, 9.4.

#include "backends/low_latency.h"

namespace moe::backends {

extern const Backend deepep_low_latency;
const Backend deepep_low_latency = {.capabilities = low_latency_capabilities(),
                                    .make = slot_dispatch_of<deepep_low_latency>};

}  // namespace moe::backends
