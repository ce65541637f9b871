// Where memory lies and work runs: a kind of device, which one, and the work queue of a rank.
// No driver is called here; each kind's own files do that.

#pragma once

#include <string_view>

namespace moe {

enum class DeviceKind { cpu, cuda, xpu };

constexpr std::string_view name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cuda:
      return "cuda";
    case DeviceKind::xpu:
      return "xpu";
    default:
      return "cpu";
  }
}

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int ordinal = 0;

  bool operator==(const Device&) const = default;
};

// The work queue of a rank, given at construction to what works for it, so that calls carry only
// data. On cpu there is none: a call has done its work when it returns, and queue is null.
struct Stream {
  Device device;
  void* queue = nullptr;
};

}  // namespace moe
