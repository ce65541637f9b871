// RoutingTrace: a recorded trace (moe-routing-trace/1, formats.md, 1) in memory, checked whole
// before anything runs. Scenarios take their model, steps and choices from it.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

struct RoutingTrace {
  std::string path;
  std::string model;
  int dp_size = 0;
  int num_steps = 0;
  int num_layers = 0;
  int num_experts = 0;
  int top_k = 0;
  Count hidden_size = 0;
  Count intermediate_size = 0;
  std::string scoring;
  bool renormalize = false;
  int num_expert_groups = 1;
  int topk_group = 1;
  int num_shared_experts = 0;
  double routed_scaling_factor = 1.0;           // already in topk_weights
  Count max_num_batched_tokens = 0;             // of the server that was recorded
  std::map<std::string, std::string> metadata;  // everything, as strings
  std::vector<std::int16_t> topk_ids;           // [num_tokens, num_layers, top_k]
  std::vector<float> topk_weights;              // [num_tokens, num_layers, top_k]
  std::vector<std::int32_t> num_tokens;         // [num_steps, dp_size]
  std::vector<std::int32_t> request_id;         // [num_tokens]
  std::vector<std::int32_t> position;           // [num_tokens]
  std::vector<std::uint8_t> phase;              // [num_tokens], 0 prefill, 1 decode

  // Tokens of each of dp ranks in each step: neighbouring ranks merged, in rank order.
  // REQUIRES dp to divide dp_size (ScenarioError that names the possible sizes).
  std::vector<std::vector<Count>> steps_for(int dp) const;
};

// Throws ScenarioError with the file's name and the reason; trusts no length before it has been
// compared with the file's size.
RoutingTrace read_routing_trace(const std::string& path);

// The metadata and shapes alone, from the header; as strict about what it reads. The vectors stay
// empty.
RoutingTrace read_routing_trace_header(const std::string& path);

// The sizes that steps_for takes: the divisors of dp_size, ascending.
std::vector<int> possible_dp_sizes(const RoutingTrace& trace);

}  // namespace moe::sim
