// Stands in for the OpenCL files where a build has none: no makers, and the sentence that says what
// to do about that.

#include "kernels/xpu/xpu_device.h"

namespace moe {
namespace {

int count() { return 0; }

std::string absence() { return "not in this build (configure with -D MOE_OPENCL=ON)"; }

}  // namespace

const DeviceMaker xpu_device = {.kind = DeviceKind::xpu,
                                .has = "OpenCL",
                                .count = count,
                                .absence = absence,
                                .products = "opencl",
                                .products_absence = absence};

}  // namespace moe
