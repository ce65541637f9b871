// mori_high_throughput: MoRI with its kernels for throughput (vLLM: mori until #41751).
// One copy of a row for each rank that owns a choice, into worst-case room with a count on the
// device. vLLM: prepare_finalize/mori.py; distribution-layer.md, 9.6.

#include "backends/mori.h"

namespace moe::backends {

extern const Backend mori_high_throughput;
const Backend mori_high_throughput = {.capabilities = mori_capabilities(),
                                      .make = rank_dispatch_of<mori_high_throughput>};

}  // namespace moe::backends
