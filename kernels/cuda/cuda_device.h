// The row of NVIDIA's GPUs in the table of devices. cuda_device.cu defines it, cuda_absent.cc where
// a build has no CUDA; CMake chooses one of the two.

#pragma once

#include "kernels/device_makers.h"

namespace moe {

extern const DeviceMaker cuda_device;

}  // namespace moe
