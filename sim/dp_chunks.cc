// The chunks' arithmetic is the layer's own (dp_metadata.h); what tokens they have is said here a
// second time, for the checks, from the rule in distribution-layer.md, 12.2.

#include "sim/dp_chunks.h"

#include <algorithm>

#include "backends/config/backend_traits.h"
#include "backends/config/capacity_rules.h"
#include "backends/config/validation.h"
#include "backends/engine/dp_metadata.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/registry.h"

namespace moe::sim {
namespace {

Count chunk_width(const DpChunking& chunking, const WorldSpec& world) {
  return chunking.rows_max * (world.sequence_parallel ? world.tp : 1);
}

// An idle rank runs a dummy batch of one token beside the others.
std::vector<Count> with_dummies(RowCounts tokens) {
  std::vector<Count> counts(tokens.begin(), tokens.end());
  for (Count& count : counts) count = std::max<Count>(count, 1);
  return counts;
}

}  // namespace

std::optional<DpChunking> dp_chunks_of(const Scenario& scenario, const RunLine& line) {
  const Profile& profile = profile_named(line.profile);
  const WorldSpec& world = scenario.world;
  if (!has_dp_chunks(profile) || world.dp == 1 || !world.expert_parallel) return std::nullopt;
  const std::string backend = backend_choice(scenario, line).decision.backend;
  if (backend.empty() || !holds(traits_of(backend).dp_chunked, profile)) return std::nullopt;
  return scenario.dp_chunking.value_or(DpChunking{});
}

int num_chunks(const DpChunking& chunking, const WorldSpec& world, RowCounts tokens) {
  return num_dp_chunks(tokens, 1, chunk_width(chunking, world));
}

CallPart chunk_part(const DpChunking& chunking, const WorldSpec& world, RowCounts tokens,
                    int number) {
  const Count width = chunk_width(chunking, world);
  CallPart part;
  for (const Count own : tokens) {
    const Count last = std::max<Count>(own - 1, 0);  // which a finished rank runs again
    part.first_token.push_back(std::min(number * width, last));
    part.num_rows.push_back(std::clamp<Count>(own - number * width, 1, width));
  }
  return part;
}

void call_in_chunks(const ChunkedCall& call, LayerCall whole) {
  const bool is_idle = whole.hidden_states.rows == 0;
  const auto one_row = [&](Tensor& rows) {
    Buffer row(call.memory, {1, rows.columns, rows.dtype});
    call.memory.fill(row.tensor(), 0);
    if (is_idle) rows = row.tensor();
    return row;
  };
  const Buffer hidden_states = one_row(whole.hidden_states);
  const Buffer router_logits = one_row(whole.router_logits);
  const Buffer output = one_row(whole.output);
  whole.num_tokens_across_dp = with_dummies(whole.num_tokens_across_dp);
  const CallFormConfig config{.memory = call.memory,
                              .sp_size = call.world.sequence_parallel ? call.world.tp : 1,
                              .rows_max = call.chunking.rows_max,
                              .store = call.chunking.store};
  int number = 0;
  call_form_named("dp_chunking")
      .forward(
          config, [&](const LayerCall& chunk) { call.forward(chunk, number++); }, whole);
}

std::string chunking_warning(const Scenario& scenario, const RunLine& line) {
  if (!scenario.dp_chunking) return "";
  const Profile& profile = profile_named(line.profile);
  if (!has_dp_chunks(profile)) {
    return text("profile ", profile.name, " has no DP chunks: the layer is called once");
  }
  const std::string_view backend = configured_backend(profile, line.backend);
  if (holds(traits_of(backend).dp_chunked, profile)) return "";
  return text("vLLM calls ", backend, " in no DP chunks under profile ", profile.name);
}

}  // namespace moe::sim
