// Recording: work that a rank queued once and a device can do again by itself (a CUDA graph). Work
// that waits for the host cannot be recorded. Benches time with it, tests show with it that a path
// has no host in it.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kernels/base/memory.h"

namespace moe {

// LIFETIME: not longer than its Memory, nor than the buffers that the work used and did not make.
class Recording {
 public:
  virtual ~Recording() = default;

  // Queues the work once more, on the same buffers with what they hold by then.
  virtual void replay() = 0;

  // Replays and waits: microseconds that each of `count` replays took on the device, one behind
  // another.
  virtual std::vector<double> times_us(int count) = 0;
};

// On the host work is done again, and a clock looked at.
std::unique_ptr<Recording> record_on_host(Memory& memory, std::function<void()> work);

}  // namespace moe
