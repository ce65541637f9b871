// How DP ranks agree on a step's batch (vLLM: v1/worker/dp_utils.py; distribution-layer.md, 5.1):
// one sum over the DP group in which each rank fills its own column, and decisions that are the
// same on all ranks because they follow from the sum alone.

#pragma once

#include <span>
#include <vector>

#include "backends/profile.h"
#include "comm/communicator.h"

namespace moe {

// ORDER: the agreed mode is the smallest of the ranks'.
enum class GraphMode { none, piecewise, full };
std::string_view name_of(GraphMode mode);

// What one rank brings.
struct BatchProposal {
  Count num_tokens = 0;
  Count num_tokens_padded = 0;
  bool wants_micro_batches = false;
  GraphMode graph_mode = GraphMode::none;
};

// four_rows: tokens, padded tokens, micro-batches, graph mode. two_rows: tokens and micro-batches,
// the form before. Ranks of both forms cannot talk (T38). The page gives no date for the change:
// profiles before #33724 have the old form (UNVERIFIED).
enum class SyncForm { two_rows, four_rows };
SyncForm sync_form_of(const Profile& profile);

struct CoordinationSettings {
  SyncForm form = SyncForm::four_rows;
  int num_micro_batches = 2;
  bool allow_dp_padding = false;  // two_rows: pad without micro-batches as well
};

struct BatchDecision {
  bool micro_batches = false;
  std::vector<Count> num_tokens_across_dp;  // as executed; empty: one DP rank, no metadata (T39)
  GraphMode graph_mode = GraphMode::none;

  bool operator==(const BatchDecision&) const = default;
};

// Whether the last of so many micro-batches has no token of the smallest rank when it is padded to
// the largest.
bool last_micro_batch_is_empty(Count fewest_tokens, Count most_padded, int num_micro_batches);

// Pure: what follows from the proposals of all ranks. own: this rank's number, for the graph mode
// that the two-row form does not exchange.
BatchDecision decided_batch(std::span<const BatchProposal> proposals, int own,
                            const CoordinationSettings& settings);

// This rank's column, out of all.
struct DpPlace {
  int rank = 0;
  int size = 1;
};
// Collective over the DP group. REQUIRES the place to be that of the rank in it: over another group
// columns are added up that are one rank's.
BatchDecision coordinate_batch_across_dp(Communicator& dp, DpPlace place, const BatchProposal& own,
                                         const CoordinationSettings& settings);

// When a rank proposes micro-batches at all.
struct MicroBatchThresholds {
  bool enabled = false;
  Count decode_tokens = 32;
  Count prefill_tokens = 512;
};
enum class BatchContent { uniform_decode, mixed };
bool proposes_micro_batches(const MicroBatchThresholds& thresholds, Count num_tokens,
                            BatchContent content);

// Contiguous rows [begin, end) of each micro-batch; the last takes what does not divide.
struct RowRange {
  Count begin = 0;
  Count end = 0;

  bool operator==(const RowRange&) const = default;
};
std::vector<RowRange> micro_batch_ranges(Count num_tokens, int num_micro_batches);

}  // namespace moe
