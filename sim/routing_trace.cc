// Reads moe-routing-trace/1: shapes against metadata, then every value. A refusal says which
// tensor, token, layer and slot. Called for scenarios with a trace and for --trace.

#include "sim/routing_trace.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/safetensors.h"
#include "sim/trace_metadata.h"

namespace moe::sim {
namespace {

[[noreturn]] void refuse(const RoutingTrace& trace, const std::string& why) {
  throw ScenarioError(text(trace.path, ": ", why));
}

void check_shapes(const SafetensorsHeader& header, const RoutingTrace& trace) {
  const Count layers = trace.num_layers;
  const Count tokens = require_tensor(header, "topk_ids", "I16", 3).shape[0];
  if (tokens == 0) refuse(trace, "topk_ids: the trace has no token");
  require_shape(header, "topk_ids", "I16", {tokens, layers, trace.top_k});
  require_shape(header, "topk_weights", "F32", {tokens, layers, trace.top_k});
  require_shape(header, "num_tokens", "I32", {trace.num_steps, trace.dp_size});
  require_shape(header, "request_id", "I32", {tokens});
  require_shape(header, "position", "I32", {tokens});
  require_shape(header, "phase", "U8", {tokens});
}

// "topk_ids: token 17, layer 3, slot 1: "
std::string choice_place(const RoutingTrace& trace, const std::string& name, std::size_t index) {
  const std::size_t top_k = static_cast<std::size_t>(trace.top_k);
  const std::size_t layers = static_cast<std::size_t>(trace.num_layers);
  return text(name, ": token ", index / top_k / layers, ", layer ", index / top_k % layers,
              ", slot ", index % top_k, ": ");
}

void check_ids(const RoutingTrace& trace) {
  for (std::size_t i = 0; i < trace.topk_ids.size(); ++i) {
    const int expert = trace.topk_ids[i];
    if (expert < -1 || expert >= trace.num_experts) {
      refuse(trace, text(choice_place(trace, "topk_ids", i), "expert ", expert, " is outside [-1, ",
                         trace.num_experts, ")"));
    }
  }
}

// One look at each choice: last_seen remembers for each expert in which row it was chosen last.
void check_no_duplicates(const RoutingTrace& trace) {
  const std::size_t top_k = static_cast<std::size_t>(trace.top_k);
  std::vector<std::size_t> last_seen(static_cast<std::size_t>(trace.num_experts), SIZE_MAX);
  for (std::size_t i = 0; i < trace.topk_ids.size(); ++i) {
    const int expert = trace.topk_ids[i];
    if (expert < 0) continue;
    std::size_t& seen = last_seen[static_cast<std::size_t>(expert)];
    if (seen == i / top_k) {
      refuse(trace, text(choice_place(trace, "topk_ids", i), "expert ", expert,
                         " is chosen a second time"));
    }
    seen = i / top_k;
  }
}

void check_weights(const RoutingTrace& trace) {
  for (std::size_t i = 0; i < trace.topk_weights.size(); ++i) {
    if (std::isfinite(trace.topk_weights[i])) continue;
    refuse(trace, text(choice_place(trace, "topk_weights", i), "the weight ", trace.topk_weights[i],
                       " is not finite"));
  }
}

void check_num_tokens(const RoutingTrace& trace) {
  const std::size_t dp = static_cast<std::size_t>(trace.dp_size);
  Count sum = 0;
  for (std::size_t i = 0; i < trace.num_tokens.size(); ++i) {
    if (trace.num_tokens[i] < 0) {
      refuse(trace, text("num_tokens: step ", i / dp, ", rank ", i % dp, ": ", trace.num_tokens[i],
                         " is negative"));
    }
    sum += trace.num_tokens[i];
  }
  if (sum != std::ssize(trace.phase)) {
    refuse(trace, text("num_tokens: the counts sum to ", sum, ", the other tensors hold ",
                       trace.phase.size(), " tokens"));
  }
}

void check_phases(const RoutingTrace& trace) {
  const auto bad = std::find_if(trace.phase.begin(), trace.phase.end(),
                                [](std::uint8_t phase) { return phase > 1; });
  if (bad == trace.phase.end()) return;
  refuse(trace, text("phase: token ", bad - trace.phase.begin(), ": ", int{*bad},
                     " is neither 0 (prefill) nor 1 (decode)"));
}

}  // namespace

RoutingTrace read_routing_trace_header(const std::string& path) {
  const SafetensorsHeader header = read_safetensors_header(path);
  RoutingTrace trace = trace_from_metadata(header);
  check_shapes(header, trace);
  return trace;
}

RoutingTrace read_routing_trace(const std::string& path) {
  const SafetensorsFile file(path);
  RoutingTrace trace = trace_from_metadata(file.header());
  check_shapes(file.header(), trace);
  trace.topk_ids = tensor_values<std::int16_t>(file, "topk_ids");
  trace.topk_weights = tensor_values<float>(file, "topk_weights");
  trace.num_tokens = tensor_values<std::int32_t>(file, "num_tokens");
  trace.request_id = tensor_values<std::int32_t>(file, "request_id");
  trace.position = tensor_values<std::int32_t>(file, "position");
  trace.phase = tensor_values<std::uint8_t>(file, "phase");
  check_ids(trace);
  check_no_duplicates(trace);
  check_weights(trace);
  check_num_tokens(trace);
  check_phases(trace);
  return trace;
}

std::vector<int> possible_dp_sizes(const RoutingTrace& trace) {
  std::vector<int> sizes;
  for (int dp = 1; dp <= trace.dp_size; ++dp) {
    if (trace.dp_size % dp == 0) sizes.push_back(dp);
  }
  return sizes;
}

std::vector<std::vector<Count>> RoutingTrace::steps_for(int dp) const {
  if (dp < 1 || dp_size % dp != 0) {
    refuse(*this, text("recorded over ", dp_size, " data-parallel ranks, which do not merge into ",
                       dp, "; possible: ", joined(possible_dp_sizes(*this))));
  }
  const int merged = dp_size / dp;
  std::vector<std::vector<Count>> steps;
  for (auto from = num_tokens.begin(); from != num_tokens.end();) {
    std::vector<Count>& step = steps.emplace_back();
    for (int rank = 0; rank < dp; ++rank, from += merged) {
      step.push_back(std::accumulate(from, from + merged, Count{0}));
    }
  }
  return steps;
}

}  // namespace moe::sim
