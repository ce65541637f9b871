// Stands in for the CUDA files where a build has none: no makers, and the sentence that says what
// to do about that.

#include "kernels/cuda/cuda_device.h"

namespace moe {
namespace {

std::string absence() { return "not in this build (configure with --preset cuda)"; }

}  // namespace

const DeviceMaker cuda_device = {DeviceKind::cuda, "NVIDIA GPUs", nullptr, nullptr,
                                 absence,          "cublas",      absence};

}  // namespace moe
