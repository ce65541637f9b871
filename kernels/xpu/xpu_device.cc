// The maker of a rank's memory and operators on an OpenCL device, and the question whether there is
// one. Nothing asks a driver before somebody wants a device.

#include "kernels/xpu/xpu_device.h"

#include <algorithm>

#include "kernels/base/text.h"
#include "kernels/xpu/xpu_memory.h"
#include "kernels/xpu/xpu_operators.h"

namespace moe {
namespace {

int count() {
  const auto devices = xpu::opencl_devices();
  return static_cast<int>(
      std::ranges::count_if(devices, [](const auto* device) { return device->lack().empty(); }));
}

std::string absence() {
  const auto devices = xpu::opencl_devices();
  if (devices.empty()) return xpu::why_no_opencl_device();
  const std::string lack = devices[0]->lack();
  return lack.empty() ? "" : text("no OpenCL device: ", devices[0]->name(), " ", lack);
}

std::string which() { return xpu::opencl_devices()[0]->name(); }

void open(int ordinal, const std::atomic<bool>& stop) {
  xpu::opencl_devices()[static_cast<std::size_t>(ordinal)]->open(&stop);
}

std::unique_ptr<Memory> make_memory(int ordinal, Poison poison) {
  return std::make_unique<xpu::XpuMemory>(ordinal, poison);
}

}  // namespace

const DeviceMaker xpu_device = {.kind = DeviceKind::xpu,
                                .has = "OpenCL, its own products",
                                .open = open,
                                .make_memory = make_memory,
                                .make_kernels = xpu::make_xpu_kernels,
                                .count = count,
                                .absence = absence,
                                .which = which,
                                .products = "opencl",
                                .products_absence = [] { return std::string(); }};

}  // namespace moe
