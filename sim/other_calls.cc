// Each call brings its rows in and its outputs home, since the plain call's are judged already.
// Checks that know a whole dispatch stay silent meanwhile: they would miss the other parts.

#include "sim/other_calls.h"

#include "backends/config/capacity_rules.h"
#include "sim/dp_chunks.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

using Run = std::function<void(MoeRunner& layer, const LayerCall& call)>;

OtherCall with_buffers(Memory& memory, Run run) {
  return [&memory, run = std::move(run)](MoeRunner& layer, const Tensor& host_rows,
                                         const Tensor& host_logits, Memory& host) {
    const Buffer rows = copy_of(host_rows, memory);
    const Buffer logits = copy_of(host_logits, memory);
    const Buffer output(memory, {host_rows.rows, host_rows.columns, host_rows.dtype});
    run(layer, {rows.tensor(), logits.tensor(), {}, output.tensor()});
    Buffer home(host, {host_rows.rows, host_rows.columns, host_rows.dtype});
    memory.copy_to_host(output.tensor(), home.tensor());
    return home;
  };
}

OtherCall chunked(const RankJob& job, std::vector<Count> tokens, Memory& memory) {
  return with_buffers(
      memory, [&job, tokens = std::move(tokens), &memory](MoeRunner& layer, const LayerCall& call) {
        LayerCall whole = call;
        whole.num_tokens_across_dp = tokens;
        const auto forward = [&layer](const LayerCall& chunk, int /*number*/) {
          layer.forward(chunk.hidden_states, chunk.router_logits, chunk.num_tokens_across_dp,
                        chunk.output);
        };
        call_in_chunks({memory, job.scenario.world, *job.scenario.dp_chunking, forward}, whole);
      });
}

OtherCall in_micro_batches(Count rows, int number, Memory& memory) {
  std::vector<Count> counts;
  for (const RowRange& range : micro_batch_ranges(rows, number)) {
    counts.push_back(range.end - range.begin);
  }
  return with_buffers(memory, [=](MoeRunner& layer, const LayerCall& call) {
    layer.forward_micro_batches(call.hidden_states, call.router_logits, counts, call.output);
  });
}

}  // namespace

std::vector<OtherCall> other_calls(const RankJob& job, const EngineSteps& engine, Memory& memory,
                                   int step) {
  std::vector<OtherCall> calls;
  const RowCounts tokens = engine.tokens(step);
  if (job.scenario.dp_chunking && has_dp_chunks(profile_named(job.line.profile)) &&
      !dp_chunks_of(job.scenario, job.line)) {
    calls.push_back(chunked(job, {tokens.begin(), tokens.end()}, memory));
  }
  if (engine.in_micro_batches(step))
    calls.push_back(in_micro_batches(
        tokens[0], engine_settings(job.scenario, job.line).coordination.num_micro_batches, memory));
  return calls;
}

}  // namespace moe::sim
