// Looking for devices, opening one, and the map from addresses to buffers. OpenCL keeps no state of
// a process by itself as CUDA's driver does: opencl_devices() holds it. Contexts are not released:
// drivers end with the process in an order of their own.

#include "kernels/xpu/opencl_device.h"

#include <algorithm>
#include <array>
#include <deque>
#include <vector>

#include "kernels/base/text.h"
#include "kernels/xpu/opencl_program.h"

namespace moe::xpu {
namespace {

constexpr std::size_t group_size_max = 64;

std::string words_of(cl_device_id device, cl_device_info what) {
  std::size_t size = 0;
  check(clGetDeviceInfo(device, what, 0, nullptr, &size), "a device's words");
  std::string words(size, '\0');
  check(clGetDeviceInfo(device, what, size, words.data(), nullptr), "a device's words");
  while (!words.empty() && (words.back() == '\0' || words.back() == ' ')) words.pop_back();
  return words;
}

std::string name_of_platform(cl_platform_id platform) {
  std::size_t size = 0;
  check(clGetPlatformInfo(platform, CL_PLATFORM_NAME, 0, nullptr, &size), "a platform's name");
  std::string name(size, '\0');
  check(clGetPlatformInfo(platform, CL_PLATFORM_NAME, size, name.data(), nullptr),
        "a platform's name");
  while (!name.empty() && name.back() == '\0') name.pop_back();
  return name;
}

template <typename T>
T number_of(cl_device_id device, cl_device_info what) {
  T value = {};
  check(clGetDeviceInfo(device, what, sizeof value, &value, nullptr), "a device's number");
  return value;
}

bool is_gpu(cl_device_id device) {
  return (number_of<cl_device_type>(device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_GPU) != 0;
}

// What OpenCL lists, and what it answered where that is nothing.
template <typename Id>
struct Listed {
  std::vector<Id> found = {};
  cl_int answer = CL_SUCCESS;
};

Listed<cl_platform_id> platforms() {
  cl_uint count = 0;
  const cl_int answer = clGetPlatformIDs(0, nullptr, &count);
  if (answer != CL_SUCCESS || count == 0) return {.answer = answer};
  std::vector<cl_platform_id> found(count);
  check(clGetPlatformIDs(count, found.data(), nullptr), "the platforms");
  return {std::move(found)};
}

Listed<cl_device_id> devices_of(cl_platform_id platform) {
  cl_uint count = 0;
  const cl_int answer = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count);
  if (answer != CL_SUCCESS || count == 0) return {.answer = answer};
  std::vector<cl_device_id> found(count);
  check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, found.data(), nullptr),
        "the devices of " + name_of_platform(platform));
  return {std::move(found)};
}

// Zeros for every argument of a kernel, whatever its size: no buffers, and no items.
void give_nothing(cl_kernel kernel) {
  constexpr std::array<std::byte, 256> zeros = {};
  cl_uint count = 0;
  check(clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof count, &count, nullptr),
        "a kernel's arguments");
  for (cl_uint argument = 0; argument < count; ++argument) {
    std::size_t size = 4;
    while (clSetKernelArg(kernel, argument, size, zeros.data()) != CL_SUCCESS) {
      size += 4;
      MOE_CHECK(size <= zeros.size(), text("argument ", argument, " of a kernel takes no size"));
    }
  }
}

void throw_if(const std::atomic<bool>* stop) {
  if (stop != nullptr && stop->load()) throw SystemError("interrupted while kernels compile");
}

// PoCL gives the same answer where it cannot start as where it has nothing.
std::string words_for_none(cl_int answer, const std::vector<std::string>& answers) {
  if (!answers.empty()) {
    return text("no OpenCL device: platform ", joined(answers),
                " (it has none or cannot start: POCL_DEBUG=err lets PoCL say more)");
  }
  if (answer == CL_SUCCESS || answer == CL_PLATFORM_NOT_FOUND_KHR) {
    return "no OpenCL platform (PoCL brings one: Debian's pocl-opencl-icd)";
  }
  return text("no OpenCL platform: ", name_of_error(answer));
}

// What this process knows of OpenCL.
struct Found {
  std::deque<OpenClDevice> devices;
  std::vector<OpenClDevice*> in_order;
  std::string why_none;

  Found() {
    const auto listed = platforms();
    std::vector<std::string> answers;
    for (const cl_platform_id platform : listed.found) {
      const auto own = devices_of(platform);
      for (const cl_device_id device : own.found) {
        in_order.push_back(&devices.emplace_back(platform, device));
      }
      answers.push_back(
          text(name_of_platform(platform), ": ",
               own.answer == CL_SUCCESS ? "an empty list" : name_of_error(own.answer)));
    }
    if (in_order.empty()) why_none = words_for_none(listed.answer, answers);
    const auto rank = [](const OpenClDevice* device) {
      return 2 * int{!device->lack().empty()} + int{!is_gpu(device->id())};
    };
    std::ranges::stable_sort(in_order, {}, rank);
  }
};

}  // namespace

OpenClDevice::OpenClDevice(cl_platform_id platform, cl_device_id device)
    : device_(device),
      name_(text(words_of(device, CL_DEVICE_NAME), " of ", name_of_platform(platform))) {}

// Sums of f64 rows and the routers' exp want doubles; numbers.cl says why halves are not wanted.
std::string OpenClDevice::lack() const {
  if (number_of<cl_bool>(device_, CL_DEVICE_AVAILABLE) == CL_FALSE) return "is not available";
  if (number_of<cl_bool>(device_, CL_DEVICE_COMPILER_AVAILABLE) == CL_FALSE) {
    return "has no compiler";
  }
  if (number_of<cl_bool>(device_, CL_DEVICE_ENDIAN_LITTLE) == CL_FALSE) return "is big-endian";
  if (words_of(device_, CL_DEVICE_VERSION) < "OpenCL 1.2") return "is older than OpenCL 1.2";
  if (number_of<cl_device_fp_config>(device_, CL_DEVICE_DOUBLE_FP_CONFIG) == 0) {
    return "has no 64-bit floats";
  }
  const auto config = number_of<cl_device_fp_config>(device_, CL_DEVICE_SINGLE_FP_CONFIG);
  if ((config & CL_FP_DENORM) == 0) return "has no subnormal numbers";
  if ((config & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) == 0) return "rounds no quotient correctly";
  return {};
}

void OpenClDevice::open(const std::atomic<bool>* stop) {
  std::call_once(opened_, [this, stop] {
    throw_if(stop);
    cl_int result = CL_SUCCESS;
    context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, &result);
    check(result, "a context on " + name_);
    group_size_ =
        std::min(number_of<std::size_t>(device_, CL_DEVICE_MAX_WORK_GROUP_SIZE), group_size_max);
    build();
    run_each_over_nothing(stop);
  });
}

void OpenClDevice::build() {
  const std::string source = program_source();
  const std::string options = program_options();
  const char* words = source.c_str();
  cl_int result = CL_SUCCESS;
  program_ = clCreateProgramWithSource(context_, 1, &words, nullptr, &result);
  check(result, "a program on " + name_);
  result = clBuildProgram(program_, 1, &device_, options.c_str(), nullptr, nullptr);
  if (result == CL_SUCCESS) return;
  std::size_t size = 0;
  clGetProgramBuildInfo(program_, device_, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size);
  std::string log(size, '\0');
  clGetProgramBuildInfo(program_, device_, CL_PROGRAM_BUILD_LOG, size, log.data(), nullptr);
  throw SystemError(text("OpenCL: the kernels do not compile on ", name_, ": ", log));
}

// Drivers compile a kernel when it is first launched (PoCL: for the size of a group). Kernels leave
// at once where there are no items. One after the other, so that an interrupt waits for one at
// most. As wide as launches can be: PoCL keeps a kernel once more for a launch wider than all
// before it, and its count of users then ends the process where launches of both widths run at once
// (3.1, lib/CL/devices/common.c: pocl_release_dlhandle_cache takes the first of any width).
void OpenClDevice::run_each_over_nothing(const std::atomic<bool>* stop) {
  cl_int result = CL_SUCCESS;
  const cl_command_queue queue = clCreateCommandQueue(context_, device_, 0, &result);
  check(result, "a queue on " + name_);
  cl_uint count = 0;
  check(clCreateKernelsInProgram(program_, 0, nullptr, &count), "the number of kernels");
  const auto items = static_cast<std::size_t>(items_max());
  std::vector<cl_kernel> kernels(count);
  check(clCreateKernelsInProgram(program_, count, kernels.data(), nullptr), "all kernels");
  for (const cl_kernel kernel : kernels) {
    throw_if(stop);
    give_nothing(kernel);
    check(clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &items, &group_size_, 0, nullptr,
                                 nullptr),
          "a launch over nothing");
    check(clFinish(queue), "a launch over nothing");
    clReleaseKernel(kernel);
  }
  clReleaseCommandQueue(queue);
}

void* OpenClDevice::allocate(Count bytes) {
  ReservedAddresses addresses(bytes);
  cl_int result = CL_SUCCESS;
  const cl_mem buffer = clCreateBuffer(context_, CL_MEM_READ_WRITE, static_cast<std::size_t>(bytes),
                                       nullptr, &result);
  check(result, text("a buffer of ", bytes, " bytes on ", name_));
  void* const begin = addresses.begin();
  const std::unique_lock lock(mutex_);
  blocks_.emplace(static_cast<const std::byte*>(begin), Block{std::move(addresses), buffer, bytes});
  return begin;
}

void OpenClDevice::release(void* address) noexcept {
  const std::unique_lock lock(mutex_);
  const auto found = blocks_.find(static_cast<const std::byte*>(address));
  if (found == blocks_.end()) return;
  clReleaseMemObject(found->second.buffer);
  blocks_.erase(found);
}

BufferPlace OpenClDevice::place_of(const void* address, Count bytes) {
  const auto* at = static_cast<const std::byte*>(address);
  const std::shared_lock lock(mutex_);
  auto next = blocks_.upper_bound(at);
  if (next != blocks_.begin()) {
    const auto& [begin, block] = *std::prev(next);
    if (at + bytes <= begin + block.bytes) return {block.buffer, at - begin};
  }
  throw ContractError(text(bytes, " bytes are in no one buffer of ", name_,
                           ": not this device's memory, or more than the buffer has"));
}

namespace {

const Found& found() {
  static const Found once;
  return once;
}

}  // namespace

std::span<OpenClDevice* const> opencl_devices() { return found().in_order; }

const std::string& why_no_opencl_device() { return found().why_none; }

}  // namespace moe::xpu
