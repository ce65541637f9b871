// XpuMemory: a rank's memory on an OpenCL device, its queue, and how operators of this folder run
// kernels in it. Addresses of its tensors are names only: a host access to them faults.

#pragma once

#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "kernels/base/buffer.h"
#include "kernels/xpu/opencl_device.h"

namespace moe::xpu {

// A kernel over that many work items, in any order. Kernels take them last, as ITEMS.
struct Launch {
  const char* kernel;
  Count items;
};

class XpuMemory final : public Memory {
 public:
  XpuMemory(int ordinal, Poison poison);
  ~XpuMemory() override;
  XpuMemory(const XpuMemory&) = delete;
  XpuMemory& operator=(const XpuMemory&) = delete;

  Stream stream() const override { return {{DeviceKind::xpu, ordinal_}, queue_}; }
  Poison poison() const override { return poison_; }

  // Where kernels of this rank refuse, for numbers.cl's refuse(). LIFETIME: this memory's.
  const Tensor& refusal() const { return refusal_; }

  // Queues the kernel. A Tensor is two arguments, its buffer and its place there, which numbers.cl
  // calls IN and OUT; null where it has no bytes. Whatever else is copied as it is.
  template <typename... Arguments>
  void run(Launch launch, const Arguments&... arguments) {
    if (launch.items == 0) return;
    ArgumentList list{*this, kernel_named(launch.kernel)};
    (list.add(arguments), ...);
    enqueue(launch, list);
  }

  void* allocate(Count bytes) override;
  void release(void* data, Count bytes) noexcept override;
  void synchronize() override;

 private:
  struct ArgumentList {
    XpuMemory& memory;
    cl_kernel kernel;
    cl_uint next = 0;

    void add(const Tensor& tensor);
    template <typename T>
    void add(const T& value) {
      static_assert(std::is_trivially_copyable_v<T>);
      add_bytes(&value, sizeof value);
    }
    void add_bytes(const void* value, std::size_t size);
  };

  void do_copy(const void* from, void* to, Count bytes) override;
  void do_copy_from_host(const void* host, void* to, Count bytes) override;
  void do_copy_to_host(const void* from, void* host, Count bytes) override;
  void do_fill(void* data, std::uint32_t word, Count bytes) override;
  void do_add_rows(std::span<const Tensor> operands, const Tensor& out) override;

  cl_kernel kernel_named(const char* name);
  void enqueue(Launch launch, ArgumentList& arguments);
  void queue_copy(const BufferPlace& from, const BufferPlace& to, Count bytes);
  void wait_and_check();

  // The first refusal since somebody looked, as numbers.cl writes it.
  struct Refusal {
    std::int32_t what = 0;
    std::int32_t expert = 0;
    std::int64_t value = 0;
    std::int64_t limit = 0;
  };

  int ordinal_;
  Poison poison_;
  OpenClDevice& device_;
  cl_command_queue queue_ = nullptr;
  Tensor refusal_;
  std::unordered_map<std::string_view, cl_kernel> kernels_;
  std::unordered_map<Count, std::vector<void*>> free_;  // released blocks by their size
};

// Memory that one operator uses and nobody sees: no poison, no guards. Released when the operator
// has queued its work, and given again to what comes later in the queue.
class Scratch {
 public:
  Scratch(XpuMemory& memory, Shape shape);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const Tensor& tensor() const { return tensor_; }

 private:
  XpuMemory& memory_;
  Tensor tensor_;
};

}  // namespace moe::xpu
