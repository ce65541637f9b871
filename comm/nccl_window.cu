// ncclMemAlloc, ncclCommWindowRegister, and one kernel that reads the peers' addresses back: NCCL
// 2.28 has no call of the host's that tells them. The only file with NCCL's device interface.

#include "comm/nccl_window.h"

#include <nccl_device.h>

#include <utility>
#include <vector>

#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

__global__ void read_addresses(ncclWindow_t window, int size, std::int64_t* addresses) {
  for (int peer = 0; peer < size; ++peer) {
    addresses[peer] = reinterpret_cast<std::int64_t>(ncclGetLsaPointer(window, 0, peer));
  }
}

class NcclWindow final : public SymmetricMemory {
 public:
  NcclWindow(NcclGroup& group, ncclComm_t comm, WindowRank at, Memory& memory, Count bytes)
      : group_(group), comm_(comm), at_(at) {
    const auto size = static_cast<std::size_t>(bytes);
    require(ncclMemAlloc(&data_, size), "memory for a window");
    require(ncclCommWindowRegister(comm_, data_, size, &window_, NCCL_WIN_COLL_SYMMETRIC),
            "registering a window");
    if (!is_on_device(window_)) {
      window_ = nullptr;  // NCCL's word for a buffer that it only registered
      give_back();
      throw NoWindows("NCCL has no symmetric windows between these devices");
    }
    const Buffer addresses(memory, {1, at.size, DType::i64});
    const auto stream = static_cast<cudaStream_t>(memory.stream().queue);
    read_addresses<<<1, 1, 0, stream>>>(window_, at.size,
                                        static_cast<std::int64_t*>(addresses.tensor().data));
    if (const cudaError_t launched = cudaGetLastError(); launched != cudaSuccess) {
      fail(cudaGetErrorString(launched));
    }
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(at.size));
    memory.copy_to_host(addresses.tensor(), {numbers.data(), 1, at.size, DType::i64, {}});
    for (const std::int64_t number : numbers) {
      if (number == 0) fail("a window that a peer's device does not reach");
      parts_.push_back(
          {reinterpret_cast<void*>(number), 1, bytes, DType::u8, memory.stream().device});
    }
  }

  // Of a group that is cut somebody may still wait in the window, and freeing waits for him.
  ~NcclWindow() override {
    if (!group_.is_cut()) give_back();
  }

  int rank() const override { return at_.rank; }
  int size() const override { return at_.size; }

  // One's own part under the address that NCCL knows as the window's.
  Tensor part(int rank) const override {
    Tensor part = parts_.at(static_cast<std::size_t>(rank));
    if (rank == at_.rank) part.data = data_;
    return part;
  }

 private:
  void require(ncclResult_t result, const char* what) {
    if (is_error(result)) fail(text(what, ": ", group_.words_of(result)));
  }

  // Where NCCL has no symmetric memory the window is null, or an address of its own on the host.
  static bool is_on_device(ncclWindow_t window) {
    cudaPointerAttributes attributes = {};
    if (window == nullptr) return false;
    const cudaError_t asked =
        cudaPointerGetAttributes(&attributes, reinterpret_cast<const void*>(window));
    cudaGetLastError();  // a host's address is no error of a later call
    return asked == cudaSuccess && attributes.type == cudaMemoryTypeDevice;
  }

  [[noreturn]] void fail(const std::string& why) {
    give_back();
    throw SystemError(text("rank ", at_.rank, " of ", at_.size, " over NCCL: ", why));
  }

  void give_back() {
    if (window_ != nullptr) {
      ncclCommWindowDeregister(comm_, std::exchange(window_, nullptr));
    }
    if (data_ != nullptr) ncclMemFree(std::exchange(data_, nullptr));
  }

  NcclGroup& group_;
  ncclComm_t comm_;
  WindowRank at_;
  void* data_ = nullptr;
  ncclWindow_t window_ = nullptr;
  std::vector<Tensor> parts_;
};

}  // namespace

std::unique_ptr<SymmetricMemory> make_nccl_window(NcclGroup& group, ncclComm_t comm, WindowRank at,
                                                  Memory& memory, Count bytes) {
  return std::make_unique<NcclWindow>(group, comm, at, memory, bytes);
}

}  // namespace moe
