// Allocation in stream order, copies, fills and ordered sums on a GPU. A copy from or to the host
// waits; nothing else does.

#include "kernels/cuda/cuda_memory.cuh"

#include <cstring>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::cuda {
namespace {

std::string words_of(const Refusal& refusal) {
  switch (refusal.what) {
    case Refused::expert:
      return text("expert ", refusal.value, " of ", refusal.limit);
    case Refused::local_expert:
      return text("local expert ", refusal.value, " of ", refusal.limit);
    case Refused::id:
      return text("id ", refusal.value, " as i32");
    case Refused::full_expert:
      return text("expert ", refusal.expert, " has ", refusal.value, " rows, the capacity is ",
                  refusal.limit);
    default:
      return text("expert ", refusal.expert, " came with ", refusal.value, " rows, the plan says ",
                  refusal.limit, " or has no room for them");
  }
}

// The rows' types accumulate in float, f64 in itself.
template <typename T>
struct Sum {
  using Type = float;
};
template <>
struct Sum<double> {
  using Type = double;
};

__device__ double widened(double value) { return value; }
template <typename T>
__device__ float widened(T value) {
  return to_float(value);
}
__device__ void rounded(double sum, double& to) { to = sum; }
template <typename T>
__device__ void rounded(float sum, T& to) {
  round_to(sum, to);
}

template <typename T>
void add_in_order(cudaStream_t stream, const T* const* operands, int num_operands,
                  const Tensor& out) {
  T* to = static_cast<T*>(out.data);
  for_each(stream, out.rows * out.columns, [=] __device__(Count i) {
    typename Sum<T>::Type sum = widened(operands[0][i]);
    for (int k = 1; k < num_operands; ++k) sum += widened(operands[k][i]);
    rounded(sum, to[i]);
  });
}

// Whole words where memory is aligned, else byte by byte, as are the last few.
void fill_words(cudaStream_t stream, std::uint8_t* to, std::uint32_t word, Count bytes) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(to) % 4 == 0;
  for_each(stream, (bytes + 3) / 4, [=] __device__(Count i) {
    if (is_aligned && 4 * i + 4 <= bytes) {
      reinterpret_cast<std::uint32_t*>(to)[i] = word;
      return;
    }
    for (Count at = 4 * i; at < bytes && at < 4 * i + 4; ++at) {
      to[at] = static_cast<std::uint8_t>(word >> (8 * (at % 4)));
    }
  });
}

// Ranks of one process may write into each other's buffers (NCCL does), which a pool refuses unless
// it was told.
void open_to_peers(cudaMemPool_t pool, int ordinal) {
  int count = 0;
  check(cudaGetDeviceCount(&count), "the number of devices");
  for (int peer = 0; peer < count; ++peer) {
    int reaches = 0;
    if (peer == ordinal) continue;
    check(cudaDeviceCanAccessPeer(&reaches, peer, ordinal), "whether devices reach each other");
    if (reaches == 0) continue;
    const cudaMemAccessDesc access{{cudaMemLocationTypeDevice, peer},
                                   cudaMemAccessFlagsProtReadWrite};
    check(cudaMemPoolSetAccess(pool, &access, 1), text("device ", peer, "'s access to ", ordinal));
  }
}

}  // namespace

void check(cudaError_t result, std::string_view what) {
  if (result == cudaSuccess) return;
  throw SystemError(
      text("CUDA: ", what, ": ", cudaGetErrorString(result), " (", cudaGetErrorName(result), ")"));
}

CudaMemory::CudaMemory(int ordinal, Poison poison) : ordinal_(ordinal), poison_(poison) {
  check(cudaSetDevice(ordinal), text("device ", ordinal));
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, ordinal), "the device's pool of memory");
  std::uint64_t all = UINT64_MAX;  // what is freed stays in the pool
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all), "the pool's size");
  open_to_peers(pool, ordinal);
  check(cudaMallocHost(&refusal_, sizeof(Refusal)), "a word of the host's memory");
  *refusal_ = {};
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
}

CudaMemory::~CudaMemory() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
  cudaFreeHost(refusal_);
}

void* CudaMemory::allocate(Count bytes) {
  void* data = nullptr;
  check(cudaMallocAsync(&data, static_cast<std::size_t>(bytes), stream_),
        text("a buffer of ", bytes, " bytes on device ", ordinal_));
  return data;
}

void CudaMemory::release(void* data, Count) noexcept { cudaFreeAsync(data, stream_); }

void CudaMemory::synchronize() {
  check(cudaStreamSynchronize(stream_), "work queued before");
  if (refusal_->what == Refused::nothing) return;
  const Refusal refusal = std::exchange(*refusal_, {});
  throw ContractError(text("refused on cuda ", ordinal_, ": ", words_of(refusal)));
}

void CudaMemory::do_copy(const void* from, void* to, Count bytes) {
  check(
      cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream_),
      text("a copy of ", bytes, " bytes"));
}

void CudaMemory::do_copy_from_host(const void* host, void* to, Count bytes) {
  check(cudaMemcpyAsync(to, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream_),
        text("a copy of ", bytes, " bytes from the host"));
  synchronize();
}

void CudaMemory::do_copy_to_host(const void* from, void* host, Count bytes) {
  check(
      cudaMemcpyAsync(host, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream_),
      text("a copy of ", bytes, " bytes to the host"));
  synchronize();
}

void CudaMemory::do_fill(void* data, std::uint32_t word, Count bytes) {
  fill_words(stream_, static_cast<std::uint8_t*>(data), word, bytes);
}

void CudaMemory::do_add_rows(std::span<const Tensor> operands, const Tensor& out) {
  std::vector<const void*> rows;
  for (const Tensor& operand : operands) rows.push_back(operand.data);
  const auto count = static_cast<Count>(rows.size());
  const Scratch<const void*> table(*this, count);
  check(cudaMemcpyAsync(table.data(), rows.data(), rows.size() * sizeof(void*),
                        cudaMemcpyHostToDevice, stream_),
        "the operands of a sum");
  const auto add = [&](auto element) {
    using T = decltype(element);
    add_in_order<T>(stream_, reinterpret_cast<const T* const*>(table.data()),
                    static_cast<int>(count), out);
  };
  if (out.dtype == DType::f64) return add(double{});
  for_row_type(out.dtype, add);
}

}  // namespace moe::cuda
