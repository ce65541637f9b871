// DeviceQueue: what the queue of a device can do beyond keeping order: hear that work in it has
// failed from beside, note moments, and keep calls to play them again. A seam of Memory's devices;
// the host's memory has none, since its calls have done their work when they return.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kernels/base/memory.h"

namespace moe {

// Looks after work that others put into a queue.
class QueueWatch {
 public:
  virtual ~QueueWatch() = default;
  // Throws SystemError once some of that work has failed, at every call from then on.
  virtual void check() = 0;
  // Between the two it puts nothing into the queue, which is recording.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

// Moments in a queue, in the order in which they were noted.
class Moments {
 public:
  virtual ~Moments() = default;
  // Notes the moment when all that is queued so far is done.
  virtual void note() = 0;
  // From the first moment to the second, once both have passed: waits.
  virtual double microseconds(int first, int second) = 0;
};

// Calls that were kept instead of being queued. LIFETIME: not longer than what the calls use.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void play() = 0;  // queues them once more
};

// replay is null where the calls cannot be kept, and why_not says why.
struct Recording {
  std::unique_ptr<Replay> replay;
  std::string why_not;
};

// THREAD: as its Memory.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // Memory::synchronize() asks the watch from now on, before it says that all is done.
  // LIFETIME: removed before the watch ends.
  virtual void add_watch(QueueWatch& watch) = 0;
  virtual void remove_watch(QueueWatch& watch) = 0;

  // Peers may wait in vain for this rank on other devices of the process: from now on nothing is
  // done here that waits for those.
  virtual void leave_in_haste() = 0;

  // Room for so many moments.
  virtual std::unique_ptr<Moments> moments(int count) = 0;

  // Makes the calls without queueing any of them. They may not wait for the device, nor ask for
  // memory that was not there before: make them once for real first.
  virtual Recording recorded(const std::function<void()>& calls) = 0;
  virtual bool is_recording() const = 0;

  // The device and what drives it, in a few words.
  virtual std::string described() const = 0;
};

// The queue of a device's memory; null for the host's.
inline DeviceQueue* queue_of(Memory& memory) { return dynamic_cast<DeviceQueue*>(&memory); }

}  // namespace moe
