// Reads integers, numbers and words from the strings of a trace's metadata, and bounds each.
// Keys that formats.md does not name are carried along unread.

#include "sim/trace_metadata.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

constexpr const char* trace_format = "moe-routing-trace/1";
constexpr const char* logits_format = "moe-router-logits/1";

class Metadata {
 public:
  explicit Metadata(const SafetensorsHeader& header) : header_(header) {}

  const std::string& word(const std::string& key) const {
    const auto found = header_.metadata.find(key);
    if (found == header_.metadata.end()) {
      throw ScenarioError(text(header_.path, ": the metadata has no '", key, "'"));
    }
    return found->second;
  }

  const std::string& one_of(const std::string& key, const std::vector<std::string>& words) const {
    const std::string& value = word(key);
    if (std::find(words.begin(), words.end(), value) == words.end()) {
      refuse(key, text("must be one of ", joined(words)));
    }
    return value;
  }

  Count count(const std::string& key, Count smallest, Count largest) const {
    const std::string& value = word(key);
    Count number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    if (!whole || number < smallest || number > largest) {
      refuse(key, text("must be an integer from ", smallest, " to ", largest));
    }
    return number;
  }

  int integer(const std::string& key, int smallest, int largest) const {
    return static_cast<int>(count(key, smallest, largest));
  }

  double positive_number(const std::string& key) const {
    const std::string& value = word(key);
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    if (!whole || !std::isfinite(number) || number <= 0) refuse(key, "must be a positive number");
    return number;
  }

  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    throw ScenarioError(
        text(header_.path, ": metadata '", key, "' is '", word(key).substr(0, 80), "', it ", why));
  }

 private:
  const SafetensorsHeader& header_;
};

RoutingTrace trace_of(const SafetensorsHeader& header, const char* format) {
  constexpr int steps_max = std::numeric_limits<int>::max();
  const Metadata metadata(header);
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
  const Metadata metadata(header);
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
