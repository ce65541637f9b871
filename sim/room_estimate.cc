// Sizes follow from the backend's format and receive room, as slot_dispatch.cc and rank_dispatch.cc
// make them. Measured worlds took 3.9 to 4.1 times one room's bytes: what came, what experts make
// of it, and a copy of either on its way and for the checks.

#include "sim/room_estimate.h"

#include <algorithm>

#include "backends/config/capacity_rules.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/dispatched_tokens.h"

namespace moe::sim {
namespace {

constexpr Count copies_of_rows = 4;
constexpr Count copies_of_weights = 3;  // of the ranks, and the oracle's in a wider type
constexpr Count share_of_machine = 2;   // one over

std::string gib_text(Count bytes) {
  const Count tenths = bytes / ((Count{1} << 30) / 10);
  return text(tenths / 10, ".", tenths % 10, " GiB");
}

struct Rows {
  Count number = 0;  // of all ranks
  std::string words;
};

// Most tokens of all ranks and of one, in any step.
struct MostTokens {
  Count of_all = 0;
  Count of_one = 0;
};

MostTokens most_tokens(const WorldInputs& inputs) {
  MostTokens most;
  for (int step = 0; step < inputs.num_steps(); ++step) {
    const RowCounts tokens = inputs.tokens(step);
    most.of_all = std::max(most.of_all, total_rows(tokens));
    most.of_one = std::max(most.of_one, std::ranges::max(tokens));
  }
  return most;
}

Rows rows_of_ranks(const Scenario& scenario, const WorldInputs& inputs,
                   const Capabilities& capabilities, Count most) {
  const Count ranks = scenario.world.expert_ranks();
  const TpSources sources = tp_sources(capabilities, scenario.world);
  if (capabilities.activation_format == ActivationFormat::batched_experts) {
    const Count experts = scenario.model.num_physical_experts();
    const Count dispatchers = ranks / (sources.are_split ? sources.replicas : 1);
    return {experts * most * dispatchers,
            text(experts, " experts x ", most * dispatchers, " rows of room (capacity ", most,
                 " of each of ", dispatchers, " ranks)")};
  }
  const MostTokens tokens = most_tokens(inputs);
  if (capabilities.receive_room == ReceiveRoom::worst_case) {
    return {ranks * ranks * most, text(ranks, " ranks x ", ranks * most, " rows of room (capacity ",
                                       most, " of each of ", ranks, " ranks)")};
  }
  if (capabilities.receive_room == ReceiveRoom::by_source) {
    return {ranks * ranks * tokens.of_one,
            text(ranks, " ranks x ", ranks * tokens.of_one, " rows (", tokens.of_one,
                 " tokens of the longest, for each of ", ranks, " ranks)")};
  }
  const Count copies = capabilities.dispatch_reach == DispatchReach::owner_ranks
                           ? std::min<Count>(ranks, scenario.model.top_k * sources.replicas)
                           : ranks;
  return {copies * tokens.of_all,
          text(copies, " ranks x ", tokens.of_all, " rows (tokens of the largest step)")};
}

// Of the experts of all layers. Probes have none to speak of.
Count bytes_of_weights(const ModelSpec& model) {
  if (model.kernel == ExpertKernel::probe) return 0;
  Count elements = 0;
  for (int number = 0; number < model.num_layers; ++number) {
    const LayerSpec layer = model.layer(number);
    elements += 3 * layer.hidden_size * layer.intermediate_size *
                (model.num_physical_experts() + model.num_shared_experts);
  }
  return copies_of_weights * elements * size_of(model.dtype);
}

// Which key sizes the rooms, and what it says.
std::string key_of_room(const Scenario& scenario, const Capabilities& capabilities,
                        const Profile& profile, Count most) {
  if (!capabilities.fixed_capacity) return "the tokens of a step, or model.hidden";
  const bool is_chunk = has_dp_chunks(profile) && !capabilities.fixed_capacity->is_of_scheduler;
  const std::string_view key =
      is_chunk ? "dp_chunking.rows_max" : "capacity.max_num_batched_tokens";
  const bool is_traced = !is_chunk && !scenario.max_num_batched_tokens &&
                         scenario.traced_max_num_batched_tokens.has_value();
  return text(key, " (", most, is_traced ? ", the trace's" : "", ")");
}

}  // namespace

RoomEstimate estimated_room(const Scenario& scenario, const WorldInputs& inputs,
                            const Capabilities& capabilities, const Profile& profile) {
  const Count most = max_num_tokens(scenario, capabilities, profile);
  const Rows rows = rows_of_ranks(scenario, inputs, capabilities, most);
  Count hidden_size = 0;
  for (int layer = 0; layer < scenario.model.num_layers; ++layer) {
    hidden_size = std::max(hidden_size, scenario.model.layer(layer).hidden_size);
  }
  const Count width = size_of(scenario.model.dtype);
  const ModelSpec& model = scenario.model;
  const Count of_rows = copies_of_rows * rows.number * hidden_size * width;
  const Count of_weights = bytes_of_weights(model);
  const std::string weights =
      of_weights == 0 ? ""
                      : text(", and ", gib_text(of_weights), " for the weights of ",
                             model.num_physical_experts(), " experts in ", model.num_layers,
                             " layers (intermediate ", model.intermediate_size, "), ",
                             copies_of_weights, " times");
  return {of_rows + of_weights,
          text(rows.words, " x hidden ", hidden_size, " x ", width, " bytes, ", copies_of_rows,
               " times (what comes, what experts make of it, a copy of either)", weights),
          of_weights > of_rows ? "model.experts, model.hidden or model.intermediate"
                               : key_of_room(scenario, capabilities, profile, most)};
}

std::string room_refusal(const RoomEstimate& estimate, Count machine_bytes) {
  if (estimate.bytes <= machine_bytes / share_of_machine) return "";
  return text("needs about ", gib_text(estimate.bytes),
              " for the rows of all ranks: ", estimate.words, "; this machine has ",
              gib_text(machine_bytes), ", of which a line may take half: lower ", estimate.lower);
}

}  // namespace moe::sim
