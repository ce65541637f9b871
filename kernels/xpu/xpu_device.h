// The row of OpenCL's devices in the table of devices. xpu_device.cc defines it, xpu_absent.cc
// where a build has no OpenCL; CMake chooses one of the two.

#pragma once

#include "kernels/device_makers.h"

namespace moe {

extern const DeviceMaker xpu_device;

}  // namespace moe
