// DP chunking: vLLM called the layer of fixed-capacity backends chunk by chunk until #39107, where
// the scheduler's max_num_batched_tokens took its place (distribution-layer.md, 12). Every rank
// runs as many chunks as the largest needs; one that has finished runs its last row again.

#include <algorithm>

#include "backends/call_form.h"
#include "backends/engine/dp_metadata.h"
#include "kernels/base/buffer.h"

namespace moe::legacy {
namespace {

// Persistent staging rows: a chunk's are copied in, those behind them are stale.
struct Staging {
  Buffer hidden_states;
  Buffer router_logits;
  Buffer output;
};

Buffer staging_for(const Tensor& rows, Count most, Memory& memory) {
  return Buffer(memory, {most, rows.columns, rows.dtype});
}

// A layer that has no rows has no last one: its chunk is empty though one row is claimed, and the
// dispatch refuses it (T21). Dummy batches keep that from happening.
void forward_in_chunks(const CallFormConfig& config, const LayerForward& layer,
                       const LayerCall& call) {
  const Count rows = call.hidden_states.rows;
  const Count width = config.rows_max * config.sp_size;  // of a DP rank
  const Staging staging{staging_for(call.hidden_states, width, config.memory),
                        staging_for(call.router_logits, width, config.memory),
                        staging_for(call.output, width, config.memory)};
  const int num_chunks = num_dp_chunks(call.num_tokens_across_dp, config.sp_size, config.rows_max);
  for (int number = 0; number < num_chunks; ++number) {
    const Count start = number * width;
    const Count begin = std::max<Count>(std::min(start, rows - 1), 0);
    const Count num_rows = std::min(start + width, rows) > begin
                               ? std::min(start + width, rows) - begin
                               : std::min<Count>(rows - begin, 1);
    const Tensor hidden_states = rows_of(staging.hidden_states.tensor(), 0, num_rows);
    const Tensor router_logits = rows_of(staging.router_logits.tensor(), 0, num_rows);
    const Tensor output = rows_of(staging.output.tensor(), 0, num_rows);
    config.memory.copy(rows_of(call.hidden_states, begin, num_rows), hidden_states);
    config.memory.copy(rows_of(call.router_logits, begin, num_rows), router_logits);
    layer({hidden_states, router_logits,
           dp_chunk_sizes(call.num_tokens_across_dp, {1, width, number}), output});
    const bool is_finished = start >= rows;
    if (is_finished && config.store == ResultStore::if_unfinished) continue;
    config.memory.copy(output, rows_of(call.output, begin, num_rows));
  }
}

}  // namespace

extern const CallForm dp_chunking;
const CallForm dp_chunking = {"dp_chunking", forward_in_chunks};

}  // namespace moe::legacy
