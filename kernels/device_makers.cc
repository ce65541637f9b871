// The table of devices, in the order of the enumeration. Whether a row is there was decided by
// CMake's choice of files; whether the machine has the device is asked when somebody wants it.

#include "kernels/device_makers.h"

#include <array>

#include "kernels/cpu/gemm.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/xpu/xpu_device.h"

namespace moe {
namespace {

std::unique_ptr<Memory> host_memory(int, Poison poison) { return make_host_memory(poison); }

std::string nothing() { return {}; }

int one() { return 1; }

std::string onednn_absence() {
  return cpu::onednn_gemm.pack == nullptr ? cpu::onednn_gemm.absence : "";
}

}  // namespace

std::span<const DeviceMaker> device_makers() {
  static const std::array<DeviceMaker, 3> makers = {{
      {.kind = DeviceKind::cpu,
       .has = "host memory, oneDNN products",
       .make_memory = host_memory,
       .make_kernels = make_cpu_kernels,
       .count = one,
       .absence = nothing,
       .products = "onednn",
       .products_absence = onednn_absence},
      cuda_device,
      xpu_device,
  }};
  return makers;
}

const DeviceMaker& device_maker(DeviceKind kind) {
  return device_makers()[static_cast<std::size_t>(kind)];
}

}  // namespace moe
