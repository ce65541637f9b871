// Requests that run come before those that wait: once begun they keep their place, which the order
// of arrival is here.

#include "backends/engine/rank_scheduler.h"

#include <algorithm>

namespace moe {

RankScheduler::RankScheduler(const std::vector<EngineRequest>& requests, int dp_rank,
                             Count max_num_batched_tokens)
    : budget_(max_num_batched_tokens) {
  for (const EngineRequest& request : requests) {
    if (request.dp_rank != dp_rank) continue;
    requests_.push_back({request, request.prompt, request.output - 1});
  }
  std::ranges::stable_sort(requests_, {}, [](const Progress& one) { return one.request.arrives; });
}

ScheduledBatch RankScheduler::schedule(int tick) {
  ScheduledBatch batch{0, BatchContent::uniform_decode};
  for (Progress& one : requests_) {
    if (one.request.arrives > tick || one.is_done()) continue;
    const bool is_prompt = one.prompt_left > 0;
    const Count wanted = is_prompt ? one.prompt_left : 1;
    const Count given = std::min(wanted, budget_ - batch.num_tokens);
    if (given == 0) break;
    (is_prompt ? one.prompt_left : one.decodes_left) -= given;
    if (is_prompt) batch.content = BatchContent::mixed;
    batch.num_tokens += given;
  }
  return batch;
}

bool RankScheduler::has_unfinished(int tick) const {
  return std::ranges::any_of(requests_, [tick](const Progress& one) {
    return one.request.arrives <= tick && !one.is_done();
  });
}

}  // namespace moe
