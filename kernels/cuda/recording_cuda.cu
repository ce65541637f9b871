// A GPU's recording: a graph captured from a rank's stream, replayed in it, timed by events between
// replays. What the work allocates and frees belongs to the graph.

#include "kernels/cuda/cuda_memory.cuh"
#include "kernels/cuda/cuda_operators.cuh"

namespace moe::cuda {
namespace {

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "an event's place"); }

  double us_since(const Event& before) const {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, before.event_, event_), "the time between events");
    return 1000.0 * static_cast<double>(ms);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class Graph final : public Recording {
 public:
  Graph(CudaMemory& memory, const std::function<void()>& work) : memory_(memory) {
    check(cudaStreamBeginCapture(memory.queue(), cudaStreamCaptureModeThreadLocal), "a capture");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(memory.queue(), &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();  // the capture's, which was thrown
      throw;
    }
    check(cudaStreamEndCapture(memory.queue(), &graph), "the end of a capture");
    const cudaError_t made =
        cudaGraphInstantiate(&graph_, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch);
    cudaGraphDestroy(graph);
    check(made, "a graph of what was captured");
  }
  ~Graph() override {
    cudaStreamSynchronize(memory_.queue());
    cudaGraphExecDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void replay() override { check(cudaGraphLaunch(graph_, memory_.queue()), "a graph's replay"); }

  std::vector<double> times_us(int count) override {
    std::vector<Event> events(static_cast<std::size_t>(count) + 1);
    events.front().record(memory_.queue());
    for (std::size_t i = 1; i < events.size(); ++i) {
      replay();
      events[i].record(memory_.queue());
    }
    memory_.synchronize();
    std::vector<double> times;
    for (std::size_t i = 1; i < events.size(); ++i) {
      times.push_back(events[i].us_since(events[i - 1]));
    }
    return times;
  }

 private:
  CudaMemory& memory_;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

std::unique_ptr<Recording> record(Memory& memory, std::function<void()> work) {
  MOE_CHECK(memory.stream().device.kind == DeviceKind::cuda, "a CUDA graph on another memory");
  work();  // once before: what is loaded or set up at first use waits for the host
  memory.synchronize();
  return std::make_unique<Graph>(static_cast<CudaMemory&>(memory), work);
}

}  // namespace moe::cuda
