// BothSides: the host's memory and operators beside those of a device, and rows on both. Included
// by the device tests only.

#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <iostream>

#include "kernels/base/device_queue.h"
#include "kernels/base/mix.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

namespace moe {

// A tensor's content on the host and on the device.
struct Twin {
  Buffer host;
  Buffer device;
};

class BothSides {
 public:
  explicit BothSides(const DeviceMaker& maker, Poison device_poison = Poison::on)
      : host_memory_(make_host_memory(Poison::on)),
        device_memory_(maker.make_memory(0, device_poison)),
        host_(make_cpu_kernels(*host_memory_)),
        device_(maker.make_kernels(*device_memory_)) {}

  Memory& host_memory() { return *host_memory_; }
  Memory& device_memory() { return *device_memory_; }
  Kernels& host() { return *host_; }
  Kernels& device() { return *device_; }

  Twin twin(Buffer host) {
    Buffer device = copy_of(host.tensor(), *device_memory_);
    return {std::move(host), std::move(device)};
  }

  // The same numbers on both sides.
  Twin twin(Shape shape, const std::vector<double>& values) {
    return twin(rows_with(*host_memory_, shape, values));
  }

  // Fresh memory on both sides.
  Twin fresh(Shape shape) { return {Buffer(*host_memory_, shape), Buffer(*device_memory_, shape)}; }

  // Whole numbers in [low, high] from mix.
  Twin integers(Shape shape, std::pair<int, int> low_high, int seed) {
    std::vector<double> values;
    const auto [low, high] = low_high;
    for (Count i = 0; i < shape.rows * shape.columns; ++i) {
      values.push_back(low +
                       static_cast<int>(mix(seed, i) % static_cast<unsigned>(high - low + 1)));
    }
    return twin(shape, values);
  }

  // Numbers near normal ones, of many exponents.
  Twin numbers(Shape shape, int seed) {
    std::vector<double> values;
    for (Count i = 0; i < shape.rows * shape.columns; ++i) {
      values.push_back(static_cast<double>(centred(mix(seed, i))) / centred_deviation);
    }
    return twin(shape, values);
  }

  Buffer on_host(const Tensor& device) {
    Buffer host(*host_memory_, {device.rows, device.columns, device.dtype});
    device_memory_->copy_to_host(device, host.tensor());
    return host;
  }

  // Where the bytes of the two sides differ, in words; empty where they do not.
  std::string difference(const Tensor& host, const Tensor& device) {
    const std::string shapes = text(shape_text(host), " and ", shape_text(device));
    if (host.rows != device.rows || host.columns != device.columns) return shapes;
    const Buffer copy = on_host(device);
    for (Count row = 0; row < host.rows; ++row) {
      if (std::memcmp(row_at(host, row), row_at(copy.tensor(), row),
                      static_cast<std::size_t>(row_bytes(host))) != 0) {
        return text(shapes, " differ in row ", row);
      }
    }
    return {};
  }
  std::string difference(const Buffer& host, const Buffer& device) {
    return difference(host.tensor(), device.tensor());
  }
  std::string difference(const QuantizedRowsBuffers& host, const QuantizedRowsBuffers& device) {
    const std::array all = {difference(host.data, device.data),
                            difference(host.scales, device.scales),
                            difference(host.global_scale, device.global_scale),
                            difference(host.zero_points, device.zero_points)};
    for (const std::string& one : all) {
      if (!one.empty()) return one;
    }
    return {};
  }
  std::string difference(const Twin& twin) { return difference(twin.host, twin.device); }

 private:
  std::unique_ptr<Memory> host_memory_;
  std::unique_ptr<Memory> device_memory_;
  std::unique_ptr<Kernels> host_;
  std::unique_ptr<Kernels> device_;
};

// Runs test(both sides) for every device beside the host; says SKIP where there is none.
inline void on_every_device(const std::function<void(BothSides&)>& test) {
  std::vector<std::string> absences;
  bool any = false;
  for (const DeviceMaker& maker : device_makers()) {
    if (maker.kind == DeviceKind::cpu) continue;
    absences.push_back(maker.absence());
    if (!absences.back().empty()) continue;
    any = true;
    INFO(name_of(maker.kind));
    BothSides both(maker);
    test(both);
  }
  if (!any) std::cout << "SKIP no device beside the host: " << joined(absences, "; ") << "\n";
}

// The same on the first device that records its queue, where blocks are kept as recordings need it.
inline void on_recording_device(const std::function<void(BothSides&, DeviceQueue&)>& test) {
  for (const DeviceMaker& maker : device_makers()) {
    if (maker.kind == DeviceKind::cpu || !maker.absence().empty()) continue;
    BothSides both(maker, Poison::off);
    DeviceQueue* queue = queue_of(both.device_memory());
    if (queue != nullptr) return test(both, *queue);
  }
  std::cout << "SKIP no device that records\n";
}

inline constexpr std::array row_types = {DType::bf16, DType::f16, DType::f32};

}  // namespace moe
