// Jobs on several threads whose results come out in the order of their numbers, as if one thread
// had done them. Called by the commands that take --jobs.

#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "sim/verdict.h"

namespace moe::sim {

struct OrderedJobs {
  Count count = 0;
  int threads = 1;
  const std::atomic<bool>& stop;  // true: start no further job; the started ones come to an end
};

// Calls run(number) for every number below count, on any of the threads, and take(outcomes) on the
// calling one, in order. What a job throws is thrown here, after what came before it was taken.
void run_in_order(const OrderedJobs& jobs,
                  const std::function<std::vector<Outcome>(Count number)>& run,
                  const std::function<void(const std::vector<Outcome>&)>& take);

}  // namespace moe::sim
