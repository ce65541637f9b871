// Stands in for the CUDA files where a build has none: no makers, and the sentence that says what
// to do about that.

#include "kernels/cuda/cuda_device.h"

namespace moe {
namespace {

int count() { return 0; }

std::string absence() { return "not in this build (configure with --preset cuda)"; }

}  // namespace

const DeviceMaker cuda_device = {.kind = DeviceKind::cuda,
                                 .has = "NVIDIA GPUs",
                                 .count = count,
                                 .absence = absence,
                                 .products = "tensor cores",
                                 .products_absence = absence};

}  // namespace moe
