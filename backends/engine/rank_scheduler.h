// RankScheduler: which tokens a DP rank's own requests bring to a step, as vLLM's scheduler deals
// them out: running requests first, prompts in chunks that fit the budget, then a token each step.
// It knows of no other rank.

#pragma once

#include <vector>

#include "backends/engine/batch_coordination.h"

namespace moe {

struct EngineRequest {
  int dp_rank = 0;
  int arrives = 0;   // at this tick of the engines' clock
  Count prompt = 1;  // tokens
  Count output = 1;  // tokens: the last of the prompt's steps makes the first one
};

struct ScheduledBatch {
  Count num_tokens = 0;
  BatchContent content = BatchContent::mixed;
};

class RankScheduler {
 public:
  // Takes the requests of its rank out of all.
  RankScheduler(const std::vector<EngineRequest>& requests, int dp_rank,
                Count max_num_batched_tokens);

  // REQUIRES ticks that ascend.
  ScheduledBatch schedule(int tick);

  // Whether a request that has come is not done, after that tick's batch.
  bool has_unfinished(int tick) const;

 private:
  struct Progress {
    EngineRequest request;
    Count prompt_left = 0;
    Count decodes_left = 0;

    bool is_done() const { return prompt_left + decodes_left == 0; }
  };

  std::vector<Progress> requests_;  // ORDER: of arrival
  Count budget_;
};

}  // namespace moe
