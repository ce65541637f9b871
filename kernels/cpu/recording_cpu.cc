// A host's recording: the work itself, done again. Devices have their own (recording_cuda.cu);
// device_makers.cc names both.

#include <chrono>
#include <utility>

#include "kernels/recording.h"

namespace moe {
namespace {

class HostRecording final : public Recording {
 public:
  explicit HostRecording(std::function<void()> work) : work_(std::move(work)) {}

  void replay() override { work_(); }

  std::vector<double> times_us(int count) override {
    using Clock = std::chrono::steady_clock;
    std::vector<double> times;
    for (int i = 0; i < count; ++i) {
      const Clock::time_point begin = Clock::now();
      work_();
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    return times;
  }

 private:
  std::function<void()> work_;
};

}  // namespace

std::unique_ptr<Recording> record_on_host(Memory&, std::function<void()> work) {
  work();
  return std::make_unique<HostRecording>(std::move(work));
}

}  // namespace moe
