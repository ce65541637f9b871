// The rules for the numbers of DP, TP, PP and PCP ranks, one after the other. What a rule says of
// experts concerns only whether they can be dealt over the ranks.

#include "sim/rank_limits.h"

#include "backends/placement/tensor_shard.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {

namespace {

// A dead rank has no tokens, and its experts are those of linear placement.
template <typename Refuse>
void check_masked_ranks(const Scenario& scenario, Refuse refuse) {
  const WorldSpec& world = scenario.world;
  const std::string key = "world.masked_ranks";
  if (!world.expert_parallel || world.tp > 1 || world.pcp > 1) {
    refuse(key, "needs ep, and tp and pcp 1: ranks are those of DP");
  }
  if (std::ssize(world.masked_ranks) >= world.dp) refuse(key, "leaves no rank alive");
  if (scenario.model.placement != Placement::linear || scenario.eplb) {
    refuse(key, "needs linear placement and no eplb");
  }
  for (const std::vector<Count>& step : scenario.steps) {
    for (const int rank : world.masked_ranks) {
      if (std::cmp_less(rank, step.size()) && step[static_cast<std::size_t>(rank)] > 0) {
        refuse(key, text("rank ", rank, " is dead and has tokens in steps"));
      }
    }
  }
  if (std::holds_alternative<TraceRouting>(scenario.routing)) {
    refuse(key, "goes with steps, not with a trace, whose ranks have tokens");
  }
}

// Codes and scales of whole experts are cut over ranks; where that would cut values that share a
// scale, vLLM refuses (Fp8MoEMethod.create_weights: "not divisible by weight quantization block_n",
// "block_k" for W2's columns; UNVERIFIED for groups of other recipes).
template <typename Refuse>
void check_cut_codes(const ModelSpec& model, Count intermediate, int ranks, Refuse refuse) {
  if (ranks == 1 || model.kernel == ExpertKernel::probe) return;
  const Count part = intermediate / ranks;
  const Count group = cut_group_of(model.quantization.weights, part);
  if (group == 0) return;
  refuse("model.intermediate",
         text(intermediate, " over ", ranks, " ranks is ", part, ", which would cut groups of ",
              group, " weights that share a scale in ", model.quantization.name));
}

}  // namespace

void check_ranks(const Scenario& scenario) {
  const WorldSpec& world = scenario.world;
  const auto refuse = [&scenario](const std::string& key, const std::string& why) {
    throw ScenarioError(text(scenario.place_of(key), ": ", key, ": ", why));
  };
  const std::string sizes =
      text("dp ", world.dp, ", tp ", world.tp, ", pp ", world.pp, ", pcp ", world.pcp);
  const Count product = Count{world.dp} * world.tp * world.pp * world.pcp;
  if (product > ranks_max) {
    refuse("world", text(sizes, " are ", product, " ranks, more than ", ranks_max));
  }
  if (world.pcp > 1 && world.dp > 1) {
    refuse("world.pcp", text("pcp ", world.pcp, " and dp ", world.dp,
                             ": PCP beside data parallelism is not supported by vLLM"));
  }
  if (world.sequence_parallel && (world.dp == 1 || world.tp == 1 || !world.expert_parallel)) {
    refuse("world.sequence_parallel", text("needs ep, tp above 1 and dp above 1, here ep ",
                                           world.expert_parallel ? "true" : "false", ", ", sizes));
  }
  if (world.pp > scenario.model.num_layers) {
    refuse("world.pp", text(world.pp, " stages for ", scenario.model.num_layers,
                            " layers: a stage would have none"));
  }
  if (!world.masked_ranks.empty()) check_masked_ranks(scenario, refuse);
  for (int layer = 0; layer < scenario.model.num_layers && !world.expert_parallel; ++layer) {
    const Count intermediate = scenario.model.layer(layer).intermediate_size;
    if (intermediate % world.expert_ranks() == 0) {
      check_cut_codes(scenario.model, intermediate, world.expert_ranks(), refuse);
      continue;
    }
    refuse("model.intermediate", text("without ep the ", world.expert_ranks(),
                                      " ranks of dp x pcp x tp share every expert, and ",
                                      intermediate, " does not divide by them"));
  }
}

}  // namespace moe::sim
