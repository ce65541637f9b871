// CallForm: a way to call a layer other than once with all rows, as a row MOE_CALL_FORM of
// registry.def. It knows nothing of what the layer does with the rows.

#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// One rank's call: hidden_states [rows, hidden_size] and what the router reads of them, the rows of
// every DP rank, and where the results go.
struct LayerCall {
  Tensor hidden_states;
  Tensor router_logits;
  std::vector<Count> num_tokens_across_dp;
  Tensor output;
};
using LayerForward = std::function<void(const LayerCall&)>;

// When a rank that has finished stores the row that it runs again. if_unfinished: the older runner,
// by the start of the chunk as it is. always: ChunkingMoERunner, which asks the clamped start.
enum class ResultStore { if_unfinished, always };

struct CallFormConfig {
  Memory& memory;
  int sp_size = 1;
  Count rows_max = 256;  // of a chunk on each rank
  ResultStore store = ResultStore::if_unfinished;
};

struct CallForm {
  std::string_view name;
  // Collective.
  void (*forward)(const CallFormConfig& config, const LayerForward& layer, const LayerCall& call);
};

}  // namespace moe
