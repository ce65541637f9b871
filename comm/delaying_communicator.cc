// Delays are drawn by the endpoint's own generator, which the machine's entropy seeds.
// Used innermost, around the wire: checks have agreed on an operation before its ranks are late.

#include "comm/delaying_communicator.h"

#include <random>
#include <thread>
#include <utility>

#include "comm/forwarding_communicator.h"

namespace moe {
namespace {

using std::chrono::microseconds;

class DelayingCommunicator final : public ForwardingCommunicator {
 public:
  DelayingCommunicator(std::unique_ptr<Communicator> inner, microseconds delay_max)
      : ForwardingCommunicator(std::move(inner)), delay_max_(delay_max) {}

 private:
  Communicator& next() override {
    std::uniform_int_distribution<microseconds::rep> delay(0, delay_max_.count());
    std::this_thread::sleep_for(microseconds(delay(generator_)));
    return inner();
  }

  std::unique_ptr<Communicator> do_split(int color, int key) override {
    std::unique_ptr<Communicator> group = next().split(color, key);
    if (group == nullptr) return group;
    return with_random_delays(std::move(group), delay_max_);
  }

  microseconds delay_max_;
  std::mt19937_64 generator_{std::random_device{}()};
};

}  // namespace

std::unique_ptr<Communicator> with_random_delays(std::unique_ptr<Communicator> inner,
                                                 microseconds delay_max) {
  return std::make_unique<DelayingCommunicator>(std::move(inner), delay_max);
}

}  // namespace moe
