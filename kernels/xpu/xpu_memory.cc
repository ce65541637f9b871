// Allocation, copies, fills and ordered sums on an OpenCL device. A copy from or to the host waits;
// nothing else does. Released blocks are kept for the next allocation of the same size: the queue
// is in order, so that whoever gets one comes after its last use.

#include "kernels/xpu/xpu_memory.h"

#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "kernels/xpu/opencl_program.h"

namespace moe::xpu {
namespace {

std::string words_of(Refused what, int expert, Count value, Count limit) {
  switch (what) {
    case Refused::expert:
      return text("expert ", value, " of ", limit);
    case Refused::local_expert:
      return text("local expert ", value, " of ", limit);
    case Refused::id:
      return text("id ", value, " as i32");
    case Refused::full_expert:
      return text("expert ", expert, " has ", value, " rows, the capacity is ", limit);
    default:
      return text("expert ", expert, " came with ", value, " rows, the plan says ", limit,
                  " or has no room for them");
  }
}

OpenClDevice& opened_device(int ordinal) {
  const auto devices = opencl_devices();
  MOE_CHECK(ordinal >= 0 && ordinal < std::ssize(devices),
            text("xpu ", ordinal, " of ", devices.size()));
  OpenClDevice& device = *devices[static_cast<std::size_t>(ordinal)];
  device.open();
  return device;
}

std::size_t size(Count bytes) { return static_cast<std::size_t>(bytes); }

constexpr Count operands_max = 4;  // of moe_add_operands

}  // namespace

XpuMemory::XpuMemory(int ordinal, Poison poison)
    : ordinal_(ordinal), poison_(poison), device_(opened_device(ordinal)) {
  cl_int result = CL_SUCCESS;
  queue_ = clCreateCommandQueue(device_.context(), device_.id(), 0, &result);
  check(result, "a queue on " + device_.name());
  constexpr Count bytes = sizeof(Refusal);
  refusal_ = {device_.allocate(bytes), 1, bytes, DType::u8, stream().device};
  do_fill(refusal_.data, 0, bytes);
}

XpuMemory::~XpuMemory() {
  clFinish(queue_);
  for (const auto& [name, kernel] : kernels_) clReleaseKernel(kernel);
  for (const auto& [bytes, blocks] : free_) {
    for (void* block : blocks) device_.release(block);
  }
  device_.release(refusal_.data);
  clReleaseCommandQueue(queue_);
}

void* XpuMemory::allocate(Count bytes) {
  std::vector<void*>& kept = free_[bytes];
  if (kept.empty()) return device_.allocate(bytes);
  void* const block = kept.back();
  kept.pop_back();
  return block;
}

void XpuMemory::release(void* data, Count bytes) noexcept { free_[bytes].push_back(data); }

void XpuMemory::synchronize() { wait_and_check(); }

void XpuMemory::wait_and_check() {
  Refusal refusal;
  const BufferPlace place = device_.place_of(refusal_.data, sizeof refusal);
  check(clEnqueueReadBuffer(queue_, place.buffer, CL_TRUE, 0, sizeof refusal, &refusal, 0, nullptr,
                            nullptr),
        "work queued before");
  const auto what = static_cast<Refused>(refusal.what);
  if (what == Refused::nothing) return;
  do_fill(refusal_.data, 0, sizeof refusal);
  throw ContractError(text("refused on xpu ", ordinal_, ": ",
                           words_of(what, refusal.expert, refusal.value, refusal.limit)));
}

// Regions of one buffer that overlap go round by another: OpenCL refuses them.
void XpuMemory::do_copy(const void* from, void* to, Count bytes) {
  if (from == to) return;
  const BufferPlace source = device_.place_of(from, bytes);
  const BufferPlace target = device_.place_of(to, bytes);
  const bool overlaps = source.buffer == target.buffer && source.offset < target.offset + bytes &&
                        target.offset < source.offset + bytes;
  if (!overlaps) return queue_copy(source, target, bytes);
  const Scratch between(*this, {1, bytes, DType::u8});
  const BufferPlace middle = device_.place_of(between.tensor().data, bytes);
  queue_copy(source, middle, bytes);
  queue_copy(middle, target, bytes);
}

void XpuMemory::queue_copy(const BufferPlace& from, const BufferPlace& to, Count bytes) {
  check(clEnqueueCopyBuffer(queue_, from.buffer, to.buffer, size(from.offset), size(to.offset),
                            size(bytes), 0, nullptr, nullptr),
        text("a copy of ", bytes, " bytes"));
}

void XpuMemory::do_copy_from_host(const void* host, void* to, Count bytes) {
  const BufferPlace place = device_.place_of(to, bytes);
  check(clEnqueueWriteBuffer(queue_, place.buffer, CL_FALSE, size(place.offset), size(bytes), host,
                             0, nullptr, nullptr),
        text("a copy of ", bytes, " bytes from the host"));
  wait_and_check();
}

void XpuMemory::do_copy_to_host(const void* from, void* host, Count bytes) {
  const BufferPlace place = device_.place_of(from, bytes);
  check(clEnqueueReadBuffer(queue_, place.buffer, CL_FALSE, size(place.offset), size(bytes), host,
                            0, nullptr, nullptr),
        text("a copy of ", bytes, " bytes to the host"));
  wait_and_check();
}

// Whole words by the driver where they lie on words, the rest byte by byte.
void XpuMemory::do_fill(void* data, std::uint32_t word, Count bytes) {
  const BufferPlace place = device_.place_of(data, bytes);
  const Count words = place.offset % 4 == 0 ? bytes / 4 * 4 : 0;
  if (words > 0) {
    check(clEnqueueFillBuffer(queue_, place.buffer, &word, sizeof word, size(place.offset),
                              size(words), 0, nullptr, nullptr),
          text("a fill of ", bytes, " bytes"));
  }
  const Tensor rest{static_cast<std::byte*>(data) + words, 1, bytes - words, DType::u8,
                    stream().device};
  run({"moe_fill_bytes", bytes - words}, rest, word, words);
}

void XpuMemory::do_add_rows(std::span<const Tensor> operands, const Tensor& out) {
  const Count count = std::ssize(operands);
  const DType sum_type = out.dtype == DType::f64 ? DType::f64 : DType::f32;
  const bool is_long = count > operands_max;
  const Scratch sums(*this, {is_long ? out.rows : 0, out.columns, sum_type});
  for (Count begin = 0; begin < count; begin += operands_max) {
    const Count some = std::min(operands_max, count - begin);
    const auto operand = [&](Count i) {
      return i < some ? operands[static_cast<std::size_t>(begin + i)] : Tensor{};
    };
    run({"moe_add_operands", out.rows * out.columns}, operand(0), operand(1), operand(2),
        operand(3), static_cast<int>(some), sums.tensor(), int{begin == 0},
        int{begin + some == count}, out, static_cast<int>(out.dtype));
  }
}

cl_kernel XpuMemory::kernel_named(const char* name) {
  cl_kernel& kernel = kernels_[name];
  if (kernel != nullptr) return kernel;
  cl_int result = CL_SUCCESS;
  kernel = clCreateKernel(device_.program(), name, &result);
  check(result, text("kernel ", name));
  return kernel;
}

void XpuMemory::enqueue(Launch launch, ArgumentList& arguments) {
  const std::size_t group = device_.group_size();
  const cl_uint own = arguments.next;
  for (Count first = 0; first < launch.items; first += device_.items_max()) {
    const Count some = std::min(launch.items - first, device_.items_max());
    const std::size_t items = (size(some) + group - 1) / group * group;
    arguments.next = own;
    arguments.add(first);
    arguments.add(launch.items);
    check(clEnqueueNDRangeKernel(queue_, arguments.kernel, 1, nullptr, &items, &group, 0, nullptr,
                                 nullptr),
          text("a launch of ", launch.kernel));
  }
}

void XpuMemory::ArgumentList::add(const Tensor& tensor) {
  BufferPlace place;
  if (tensor.data != nullptr && bytes_of(tensor) > 0) {
    MOE_CHECK(tensor.device.kind == DeviceKind::xpu,
              text("a kernel of xpu got ", shape_text(tensor)));
    place = memory.device_.place_of(tensor.data, bytes_of(tensor));
  }
  add_bytes(place.buffer == nullptr ? nullptr : static_cast<const void*>(&place.buffer),
            sizeof place.buffer);
  add(static_cast<std::uint64_t>(place.offset));
}

void XpuMemory::ArgumentList::add_bytes(const void* value, std::size_t bytes) {
  check(clSetKernelArg(kernel, next, bytes, value), text("argument ", next, " of a kernel"));
  ++next;
}

Scratch::Scratch(XpuMemory& memory, Shape shape)
    : memory_(memory),
      tensor_{nullptr, shape.rows, shape.columns, shape.dtype, memory.stream().device} {
  if (bytes_of(tensor_) > 0) tensor_.data = memory.allocate(bytes_of(tensor_));
}

Scratch::~Scratch() {
  if (tensor_.data != nullptr) memory_.release(tensor_.data, bytes_of(tensor_));
}

}  // namespace moe::xpu
