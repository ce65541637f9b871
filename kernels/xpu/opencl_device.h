// OpenClDevice: one device of this machine with what all ranks of a process share on it: the
// context, the program of this folder's kernels, and which buffer lies at which address. Included
// by this folder only.

#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>

#include "kernels/base/reserved_addresses.h"
#include "kernels/xpu/opencl_error.h"

namespace moe::xpu {

// Where an address lies.
struct BufferPlace {
  cl_mem buffer = nullptr;  // null: the place of a tensor without bytes
  Count offset = 0;
};

// THREAD: any.
class OpenClDevice {
 public:
  OpenClDevice(cl_platform_id platform, cl_device_id device);

  // "DEVICE of PLATFORM", in the driver's words.
  const std::string& name() const { return name_; }

  // Why kernels of this program cannot run there; empty where they can.
  std::string lack() const;

  // Context and program, made when first asked for, with every kernel compiled to the end: a rank
  // that compiles in the middle of a step lets its peers wait. Throws SystemError with the
  // compiler's words, or between two kernels when stop has become true (null: it never does).
  void open(const std::atomic<bool>* stop = nullptr);
  cl_context context() const { return context_; }
  cl_device_id id() const { return device_; }
  cl_program program() const { return program_; }
  std::size_t group_size() const { return group_size_; }  // of work items
  // No launch has more: larger work is several of them.
  Count items_max() const { return static_cast<Count>(group_size_) * groups_max; }

  // A buffer and addresses for it. REQUIRES that the device is open, as all below.
  void* allocate(Count bytes);
  void release(void* address) noexcept;

  // Throws ContractError where no buffer of this device holds all of these bytes.
  BufferPlace place_of(const void* address, Count bytes);

 private:
  static constexpr Count groups_max = 16384;

  struct Block {
    ReservedAddresses addresses;
    cl_mem buffer;
    Count bytes;
  };

  void build();
  void run_each_over_nothing(const std::atomic<bool>* stop);

  cl_device_id device_;
  std::string name_;
  cl_context context_ = nullptr;  // until the end of the process, as the program
  cl_program program_ = nullptr;
  std::size_t group_size_ = 1;
  std::once_flag opened_;
  std::shared_mutex mutex_;
  std::map<const std::byte*, Block> blocks_;  // by their first address
};

// The devices of this machine, those first that can run our kernels, and of them GPUs before CPUs.
// Looked for once in a process, when somebody first asks.
std::span<OpenClDevice* const> opencl_devices();

// Why there is none: no platform, or what OpenCL and its platforms answered. Empty where there are.
const std::string& why_no_opencl_device();

}  // namespace moe::xpu
