// CudaMemory: a rank's memory on one GPU, its stream, and the word in which kernels refuse. Blocks
// come from the device's own pool in the order of the stream. Only this folder knows the type.

#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "kernels/base/device_queue.h"
#include "kernels/cuda/launch.cuh"

namespace moe::cuda {

// What a kernel may find and must not act on: values that the host's operators refuse at once.
enum class Refused : int { nothing, expert, local_expert, id, full_expert, other_count };

// The first refusal since somebody looked; kernels write it, the host reads it when it waits.
struct Refusal {
  Refused what = Refused::nothing;
  int expert = 0;
  Count value = 0;
  Count limit = 0;
};

// Of several threads that refuse one stays, which does not matter: each says the truth.
__device__ inline void refuse(Refusal* at, Refusal refusal) {
  if (at->what == Refused::nothing) *at = refusal;
}

// Where time counts (Poison::off) blocks that are released are kept for the next of their size:
// asking the pool costs as much as a small operation, and recordings find their blocks again.
class CudaMemory final : public Memory, public DeviceQueue {
 public:
  CudaMemory(int ordinal, Poison poison);
  ~CudaMemory() override;
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;

  Stream stream() const override { return {{DeviceKind::cuda, ordinal_}, stream_}; }
  Poison poison() const override { return poison_; }
  cudaStream_t queue() const { return stream_; }

  // Where kernels of this rank refuse. LIFETIME: this memory's.
  Refusal* refusal() const { return refusal_; }

  void* allocate(Count bytes) override;
  void release(void* data, Count bytes) noexcept override;
  void synchronize() override;

  void add_watch(QueueWatch& watch) override;
  void remove_watch(QueueWatch& watch) override;
  void leave_in_haste() override { is_hasty_ = true; }
  std::unique_ptr<Moments> moments(int count) override;
  Recording recorded(const std::function<void()>& calls) override;
  bool is_recording() const override { return is_recording_; }
  std::string described() const override;

 private:
  void do_copy(const void* from, void* to, Count bytes) override;
  void do_copy_from_host(const void* host, void* to, Count bytes) override;
  void do_copy_to_host(const void* from, void* host, Count bytes) override;
  void do_fill(void* data, std::uint32_t word, Count bytes) override;
  void do_add_rows(std::span<const Tensor> operands, const Tensor& out) override;

  void* block_of(Count bytes);

  int ordinal_;
  Poison poison_;
  cudaStream_t stream_ = nullptr;
  bool is_recording_ = false;
  bool is_hasty_ = false;
  std::vector<QueueWatch*> watches_;
  std::unordered_map<Count, std::vector<void*>> kept_;  // by size
  Refusal* refusal_ = nullptr;  // in the host's memory, which the device writes
};

// Memory that one operator uses and nobody sees: no poison, no guards.
template <typename T>
class Scratch {
 public:
  Scratch(CudaMemory& memory, Count count)
      : memory_(memory),
        bytes_(count * static_cast<Count>(sizeof(T))),
        data_(bytes_ == 0 ? nullptr : static_cast<T*>(memory.allocate(bytes_))) {}
  ~Scratch() {
    if (data_ != nullptr) memory_.release(data_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }

 private:
  CudaMemory& memory_;
  Count bytes_;
  T* data_;
};

}  // namespace moe::cuda
