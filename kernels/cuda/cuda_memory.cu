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

// Operands of one launch, whose addresses stay in a recorded one; a table's content would not.
constexpr Count operands_max = 8;

// Some operands of a sum: all but the first follow what is summed so far, all but the last leave
// it.
template <typename T>
struct Operands {
  const T* at[operands_max];
  int count;
  bool is_first;
  bool is_last;
};

template <typename T>
void add_in_order(cudaStream_t stream, const Operands<T>& operands, typename Sum<T>::Type* sums,
                  const Tensor& out) {
  T* to = static_cast<T*>(out.data);
  for_each(stream, out.rows * out.columns, [=] __device__(Count i) {
    typename Sum<T>::Type sum = operands.is_first ? widened(operands.at[0][i]) : sums[i];
#pragma unroll
    for (int k = 0; k < static_cast<int>(operands_max); ++k) {
      if (k < operands.count && (k > 0 || !operands.is_first)) sum += widened(operands.at[k][i]);
    }
    if (operands.is_last) return rounded(sum, to[i]);
    sums[i] = sum;
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

class CudaMoments final : public Moments {
 public:
  CudaMoments(cudaStream_t stream, int count) : stream_(stream) {
    for (int i = 0; i < count; ++i) check(cudaEventCreate(&events_.emplace_back()), "an event");
  }
  ~CudaMoments() override {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }

  void note() override { check(cudaEventRecord(events_.at(num_noted_++), stream_), "a moment"); }

  double microseconds(int first, int second) override {
    cudaEvent_t begin = events_.at(static_cast<std::size_t>(first));
    cudaEvent_t end = events_.at(static_cast<std::size_t>(second));
    check(cudaEventSynchronize(end), "a moment");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "the time between two moments");
    return 1e3 * static_cast<double>(milliseconds);
  }

 private:
  cudaStream_t stream_;
  std::vector<cudaEvent_t> events_;
  std::size_t num_noted_ = 0;
};

class CudaReplay final : public Replay {
 public:
  CudaReplay(cudaStream_t stream, cudaGraph_t graph) : stream_(stream), graph_(graph) {
    check(cudaGraphInstantiate(&calls_, graph_, 0), "a recording");
    check(cudaGraphUpload(calls_, stream_), "a recording");
  }
  ~CudaReplay() override {
    cudaStreamSynchronize(stream_);
    cudaGraphExecDestroy(calls_);
    cudaGraphDestroy(graph_);
  }

  void play() override { check(cudaGraphLaunch(calls_, stream_), "a replay"); }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_;
  cudaGraphExec_t calls_ = nullptr;
};

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
  for (const auto& [bytes, blocks] : kept_) {
    for (void* block : blocks) cudaFreeAsync(block, stream_);
  }
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
  // Freeing waits for every device of the process: a kernel there may wait for this rank in vain,
  // and whoever is to end it would wait for the driver. A word is lost with a rank that failed.
  if (!is_hasty_) cudaFreeHost(refusal_);
}

void* CudaMemory::allocate(Count bytes) {
  if (poison_ == Poison::on) return block_of(bytes);
  std::vector<void*>& blocks = kept_[bytes];
  if (blocks.empty()) return block_of(bytes);
  void* block = blocks.back();
  blocks.pop_back();
  return block;
}

void* CudaMemory::block_of(Count bytes) {
  if (is_recording_)
    throw SystemError(text("asks for ", bytes, " bytes that were not there before"));
  void* data = nullptr;
  check(cudaMallocAsync(&data, static_cast<std::size_t>(bytes), stream_),
        text("a buffer of ", bytes, " bytes on device ", ordinal_));
  return data;
}

void CudaMemory::release(void* data, Count bytes) noexcept {
  if (poison_ == Poison::on) {
    cudaFreeAsync(data, stream_);
    return;
  }
  kept_[bytes].push_back(data);
}

// A queue that somebody ended from beside is empty as well: watches are asked before what came of
// it is believed.
void CudaMemory::synchronize() {
  if (is_recording_) throw SystemError("waits for the device");
  check(cudaStreamSynchronize(stream_), "work queued before");
  for (QueueWatch* watch : watches_) watch->check();
  if (refusal_->what == Refused::nothing) return;
  const Refusal refusal = std::exchange(*refusal_, {});
  throw ContractError(text("refused on cuda ", ordinal_, ": ", words_of(refusal)));
}

void CudaMemory::add_watch(QueueWatch& watch) { watches_.push_back(&watch); }

void CudaMemory::remove_watch(QueueWatch& watch) { std::erase(watches_, &watch); }

std::unique_ptr<Moments> CudaMemory::moments(int count) {
  return std::make_unique<CudaMoments>(stream_, count);
}

// THREAD: other ranks of the process go on meanwhile, so only this thread's calls are kept.
Recording CudaMemory::recorded(const std::function<void()>& calls) {
  for (QueueWatch* watch : watches_) watch->pause();
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "a recording");
  is_recording_ = true;
  Recording recording;
  try {
    calls();
  } catch (const SystemError& error) {
    recording.why_not = error.what();
  }
  is_recording_ = false;
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream_, &graph);
  for (QueueWatch* watch : watches_) watch->resume();
  if (recording.why_not.empty() && ended != cudaSuccess) {
    recording.why_not = cudaGetErrorString(ended);
  }
  cudaGetLastError();  // of calls that cannot be kept
  if (recording.why_not.empty()) {
    recording.replay = std::make_unique<CudaReplay>(stream_, graph);
  } else if (graph != nullptr) {
    cudaGraphDestroy(graph);
  }
  return recording;
}

std::string CudaMemory::described() const {
  cudaDeviceProp device{};
  int driver = 0;
  int runtime = 0;
  check(cudaGetDeviceProperties(&device, ordinal_), "the device");
  check(cudaDriverGetVersion(&driver), "the driver");
  check(cudaRuntimeGetVersion(&runtime), "the runtime");
  const auto version = [](int number) { return text(number / 1000, ".", number % 1000 / 10); };
  return text(device.name, ", CUDA driver ", version(driver), ", runtime ", version(runtime));
}

void CudaMemory::do_copy(const void* from, void* to, Count bytes) {
  check(
      cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream_),
      text("a copy of ", bytes, " bytes"));
}

// Copies between the host's pageable memory and a device wait for the queue inside of the driver,
// which lets no other thread in meanwhile: not the watch either that is to end what they wait for.
// So the queue is waited for before, where the driver lets others in.
void CudaMemory::do_copy_from_host(const void* host, void* to, Count bytes) {
  synchronize();
  check(cudaMemcpyAsync(to, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream_),
        text("a copy of ", bytes, " bytes from the host"));
  synchronize();
}

void CudaMemory::do_copy_to_host(const void* from, void* host, Count bytes) {
  synchronize();
  check(
      cudaMemcpyAsync(host, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream_),
      text("a copy of ", bytes, " bytes to the host"));
  synchronize();
}

void CudaMemory::do_fill(void* data, std::uint32_t word, Count bytes) {
  fill_words(stream_, static_cast<std::uint8_t*>(data), word, bytes);
}

void CudaMemory::do_add_rows(std::span<const Tensor> operands, const Tensor& out) {
  const Count count = std::ssize(operands);
  const auto add = [&](auto element) {
    using T = decltype(element);
    const Count wide = count > operands_max ? out.rows * out.columns : 0;
    const Scratch<typename Sum<T>::Type> sums(*this, wide);
    for (Count begin = 0; begin < count; begin += operands_max) {
      const Count some = std::min(operands_max, count - begin);
      Operands<T> of{{}, static_cast<int>(some), begin == 0, begin + some == count};
      for (Count i = 0; i < some; ++i) {
        of.at[i] = static_cast<const T*>(operands[static_cast<std::size_t>(begin + i)].data);
      }
      add_in_order<T>(stream_, of, sums.data(), out);
    }
  };
  if (out.dtype == DType::f64) return add(double{});
  for_row_type(out.dtype, add);
}

}  // namespace moe::cuda
