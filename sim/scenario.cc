// What can be said of a scenario without its file: places of its keys, its exact bound, impossible
// worlds. Called by the reader and after a trace has replaced parts of a scenario.

#include "sim/scenario.h"

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

constexpr Count weight_max = 2;  // mix's weights are 1 and 2

// The largest absolute value of one expert's output (numerics.md, 1).
Count output_max(ExpertKernel kernel) { return kernel == ExpertKernel::probe ? 8 : 4; }

// Integers up to here are exact.
Count integer_limit(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return 1 << 8;
    case DType::f16:
      return 1 << 11;
    case DType::f32:
      return 1 << 24;
    default:
      break;
  }
  MOE_CHECK(false, text("an exact world in ", name_of(dtype)));
  return 0;
}

[[noreturn]] void refuse(const Scenario& scenario, const std::string& key, const std::string& why) {
  throw ScenarioError(text(scenario.place_of(key), ": ", key, ": ", why));
}

// Worlds that vLLM refuses or that would leave a rank without work (distribution-layer.md, 6.2).
void check_ranks(const Scenario& scenario) {
  const WorldSpec& world = scenario.world;
  const std::string sizes =
      text("dp ", world.dp, ", tp ", world.tp, ", pp ", world.pp, ", pcp ", world.pcp);
  const Count product = Count{world.dp} * world.tp * world.pp * world.pcp;
  if (product > ranks_max) {
    refuse(scenario, "world", text(sizes, " are ", product, " ranks, more than ", ranks_max));
  }
  if (world.pcp > 1 && world.dp > 1) {
    refuse(scenario, "world.pcp",
           text("pcp ", world.pcp, " and dp ", world.dp,
                ": PCP beside data parallelism is not supported by vLLM"));
  }
  if (world.sequence_parallel && (world.dp == 1 || world.tp == 1 || !world.expert_parallel)) {
    refuse(scenario, "world.sequence_parallel",
           text("needs ep, tp above 1 and dp above 1, here ep ",
                world.expert_parallel ? "true" : "false", ", ", sizes));
  }
  if (world.pp > scenario.model.num_layers) {
    refuse(scenario, "world.pp",
           text(world.pp, " stages for ", scenario.model.num_layers,
                " layers: a stage would have none"));
  }
  if (!world.expert_parallel && scenario.model.intermediate_size % world.expert_ranks() != 0) {
    refuse(scenario, "model.intermediate",
           text("without ep the ", world.expert_ranks(),
                " ranks of dp x pcp x tp share every "
                "expert, and ",
                scenario.model.intermediate_size, " does not divide by them"));
  }
}

}  // namespace

std::string_view name_of(Selection selection) {
  return selection == Selection::modular ? "modular" : "monolithic";
}

std::string_view name_of(DispatchSite site) {
  return site == DispatchSite::kernel ? "kernel" : "runner";
}

Selection selection_named(std::string_view word) {
  return word == "modular" ? Selection::modular : Selection::monolithic;
}

DispatchSite dispatch_site_named(std::string_view word) {
  return word == "kernel" ? DispatchSite::kernel : DispatchSite::runner;
}

std::string Scenario::place_of(const std::string& key) const {
  std::string around = key;
  while (!around.empty()) {
    const auto found = written.find(around);
    if (found != written.end()) return found->second.place;
    const std::size_t cut = around.find_last_of(".[");
    around.resize(cut == std::string::npos ? 0 : cut);
  }
  return path;
}

ExactBound exact_bound(const ModelSpec& model) {
  return {output_max(model.kernel) * weight_max * model.top_k, integer_limit(model.dtype)};
}

void check_world(const Scenario& scenario) {
  check_ranks(scenario);
  const ModelSpec& model = scenario.model;
  const std::string key = scenario.says("model.top_k") || !scenario.says("model.experts")
                              ? "model.top_k"
                              : "model.experts";
  if (model.top_k > model.num_experts) {
    throw ScenarioError(text(scenario.place_of(key), ": ", key, ": a token cannot choose ",
                             model.top_k, " of ", model.num_experts, " experts"));
  }
  const ExactBound bound = exact_bound(model);
  if (bound.reached > bound.limit) {
    throw ScenarioError(text(scenario.place_of("model.top_k"), ": model.top_k: with ", model.top_k,
                             " choices partial sums reach ", bound.reached, ", ",
                             name_of(model.dtype), " is exact only up to ", bound.limit));
  }
}

}  // namespace moe::sim
