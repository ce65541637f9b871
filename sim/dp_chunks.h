// The DP chunks of a run line (legacy; backends/call_form.h): whether vLLM calls the line's layer
// in chunks, and which tokens each chunk has. Asked by whoever runs, checks or explains a line.

#pragma once

#include <optional>
#include <string>

#include "backends/moe_runner.h"
#include "sim/dispatched_tokens.h"

namespace moe::sim {

// How the layer of a line is called, where its profile and the backend that it gets go in chunks;
// the scenario's own numbers where it has some. None: once with all rows.
std::optional<DpChunking> dp_chunks_of(const Scenario& scenario, const RunLine& line);

// How many chunks a step is. A rank without tokens counts as one, its dummy (T21).
int num_chunks(const DpChunking& chunking, const WorldSpec& world, RowCounts tokens);

// Which tokens of a step each DP rank has in a chunk.
CallPart chunk_part(const DpChunking& chunking, const WorldSpec& world, RowCounts tokens,
                    int number);

// The layer chunk by chunk. forward gets each chunk and its number.
struct ChunkedCall {
  Memory& memory;
  const WorldSpec& world;
  const DpChunking& chunking;
  std::function<void(const LayerCall& chunk, int number)> forward;
};
// Collective. Rows of a DP rank without tokens are those of its dummy batch: one row of zeros,
// whose result is nobody's.
void call_in_chunks(const ChunkedCall& call, LayerCall whole);

// What to say of a line that chunks a backend which vLLM never did; empty: nothing.
std::string chunking_warning(const Scenario& scenario, const RunLine& line);

}  // namespace moe::sim
