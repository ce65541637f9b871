// PrepareFinalize decorators that hand out scales where or as they do not belong, for seeded faults
// (fault-catalogue.md, F3 and F4). Made by the program when a run asks for a fault.

#pragma once

#include <memory>

#include "backends/moe_layer.h"
#include "kernels/base/buffer.h"

namespace moe {

// MF-10: swizzled scales are handed out as they lay before, or swizzled once more (vllm#42118,
// vllm#42089).
enum class SwizzleLie { forgotten, doubled };
std::unique_ptr<PrepareFinalize> with_swizzle_lie(std::unique_ptr<PrepareFinalize> inner,
                                                  Memory& memory, SwizzleLie lie);

// MF-11: column-major scales are copied as if rows lay one behind the other (vllm#53338).
std::unique_ptr<PrepareFinalize> with_stride_ignored(std::unique_ptr<PrepareFinalize> inner,
                                                     Memory& memory);

// MF-12: of each fp32 scale only the exponent is kept (sglang#39193).
std::unique_ptr<PrepareFinalize> with_truncated_scales(std::unique_ptr<PrepareFinalize> inner,
                                                       Memory& memory);

// MF-14: the scale of all rows is made of this rank's own ones (vllm#54683).
std::unique_ptr<PrepareFinalize> with_local_amax(std::unique_ptr<PrepareFinalize> inner,
                                                 Memory& memory, float limit);

}  // namespace moe
