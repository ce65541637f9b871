// Rules in vLLM's order: the model's first, then the kernels'. Linear is never refused.
// Called by whoever makes the expert map of a run.

#include "backends/placement/placement_strategy.h"

#include "kernels/base/text.h"

namespace moe {
namespace {

std::string why_not_round_robin(const PlacementRequest& request) {
  if (request.num_expert_group <= 1) {
    return text("it needs more than one expert group, the model has ", request.num_expert_group);
  }
  if (request.num_redundant_experts != 0) {
    return text("it knows no redundant experts, there are ", request.num_redundant_experts);
  }
  if (request.enable_eplb) return "EPLB places experts itself";
  if (request.use_all2all_kernels && !request.needs_routing_tables) {
    return "the all2all backend has no routing tables for it";
  }
  return "";
}

}  // namespace

PlacementDecision determine_expert_placement_strategy(const PlacementRequest& request) {
  if (request.asked == Placement::linear) return {};
  const std::string why = why_not_round_robin(request);
  if (why.empty()) return {request.asked, ""};
  return {Placement::linear,
          text("expert placement round_robin is not supported here: ", why, "; using linear")};
}

}  // namespace moe
