// Reads integers, numbers and words from the strings of a trace's metadata, and bounds each.
// Keys that formats.md does not name are carried along unread.

#include "sim/trace_metadata.h"

#include <limits>

#include "kernels/base/text.h"
#include "sim/metadata_words.h"

namespace moe::sim {
namespace {

constexpr const char* trace_format = "moe-routing-trace/1";
constexpr const char* logits_format = "moe-router-logits/1";

RoutingTrace trace_of(const SafetensorsHeader& header, const char* format) {
  constexpr int steps_max = std::numeric_limits<int>::max();
  const MetadataWords metadata(header);
  metadata.one_of("format", {format});
  RoutingTrace trace;
  trace.path = header.path;
  trace.metadata = header.metadata;
  trace.model = metadata.word("model");
  trace.dp_size = metadata.integer("dp_size", 1, 65'536);
  trace.num_steps = metadata.integer("steps", 1, steps_max);
  trace.num_layers = metadata.integer("num_layers", 1, 4'096);
  trace.num_experts = metadata.integer("num_experts", 1, 32'767);  // ids are i16
  trace.top_k = metadata.integer("top_k", 1, trace.num_experts);
  trace.hidden_size = metadata.count("hidden_size", 1, 1 << 20);
  trace.intermediate_size = metadata.count("moe_intermediate_size", 1, 1 << 20);
  trace.scoring = metadata.one_of("scoring", {"softmax", "sigmoid"});
  trace.renormalize = metadata.one_of("renormalize", {"true", "false"}) == "true";
  trace.num_expert_groups = metadata.integer("num_expert_group", 1, trace.num_experts);
  trace.topk_group = metadata.integer("topk_group", 1, trace.num_expert_groups);
  if (trace.num_experts % trace.num_expert_groups != 0) {
    metadata.refuse("num_expert_group", text("must divide num_experts, ", trace.num_experts));
  }
  trace.num_shared_experts = metadata.integer("num_shared_experts", 0, 4'096);
  trace.routed_scaling_factor = metadata.positive_number("routed_scaling_factor");
  trace.max_num_batched_tokens = metadata.count("max_num_batched_tokens", 1, Count{1} << 40);
  return trace;
}

}  // namespace

RoutingTrace trace_from_metadata(const SafetensorsHeader& header) {
  return trace_of(header, trace_format);
}

RouterLogits logits_from_metadata(const SafetensorsHeader& header) {
  const RoutingTrace trace = trace_of(header, logits_format);
  const MetadataWords metadata(header);
  return {.path = trace.path,
          .model = trace.model,
          .note = metadata.word("note"),
          .layer = metadata.integer("layer", 0, trace.num_layers - 1),
          .num_experts = trace.num_experts,
          .top_k = trace.top_k,
          .scoring = trace.scoring,
          .renormalize = trace.renormalize,
          .num_expert_groups = trace.num_expert_groups,
          .topk_group = trace.topk_group,
          .routed_scaling_factor = trace.routed_scaling_factor};
}

}  // namespace moe::sim
