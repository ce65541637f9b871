// The devices of this program: one row each, also for those that this build or this machine lacks,
// with the reason. A new device is a folder, an absent twin and a row in device_makers.cc.

#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/kernels.h"

namespace moe {

struct DeviceMaker {
  DeviceKind kind = DeviceKind::cpu;
  std::string_view has;  // where memory lies and who multiplies, in a few words

  // Makes that device ready for this process, which may take seconds the first time (kernels are
  // compiled): before the rank has peers that wait for it. Throws SystemError, also soon after stop
  // has become true. Null: it is ready. REQUIRES absence() to be empty.
  void (*open)(int ordinal, const std::atomic<bool>& stop) = nullptr;
  // A rank's memory on the device of that number. REQUIRES absence() to be empty, as make_kernels.
  std::unique_ptr<Memory> (*make_memory)(int ordinal, Poison poison) = nullptr;
  // REQUIRES a memory of this row.
  std::unique_ptr<Kernels> (*make_kernels)(Memory& memory) = nullptr;

  // How many devices of the kind this machine has.
  int (*count)() = nullptr;

  // Why no rank can run there, in this build or on this machine; empty where one can.
  std::string (*absence)() = nullptr;
  // Which device that is, in its driver's words. Null where has says it. REQUIRES as make_memory.
  std::string (*which)() = nullptr;
  // Why experts with products cannot run there: the library that multiplies, and why it is not
  // there.
  std::string_view products;
  std::string (*products_absence)() = nullptr;
};

std::span<const DeviceMaker> device_makers();

const DeviceMaker& device_maker(DeviceKind kind);

}  // namespace moe
