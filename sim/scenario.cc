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

// Groups that divide the experts must hold enough of them; others are vLLM's to fall back from.
void check_groups(const Scenario& scenario) {
  const ModelSpec& model = scenario.model;
  const int groups = model.num_expert_groups;
  const std::string where = scenario.place_of("model.topk_group");
  if (model.topk_group > groups) {
    throw ScenarioError(
        text(where, ": model.topk_group: ", model.topk_group, " of ", groups, " groups"));
  }
  const bool divides = model.num_experts > groups && model.num_experts % groups == 0;
  const int reachable = model.topk_group * (model.num_experts / groups);
  if (groups > 1 && divides && model.top_k > reachable) {
    throw ScenarioError(text(where, ": model.topk_group: ", model.topk_group, " groups hold ",
                             reachable, " experts, a token chooses ", model.top_k));
  }
}

}  // namespace

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
  const ModelSpec& model = scenario.model;
  const std::string key = scenario.says("model.top_k") || !scenario.says("model.experts")
                              ? "model.top_k"
                              : "model.experts";
  if (model.top_k > model.num_experts) {
    throw ScenarioError(text(scenario.place_of(key), ": ", key, ": a token cannot choose ",
                             model.top_k, " of ", model.num_experts, " experts"));
  }
  if (std::holds_alternative<LogitsRouting>(scenario.routing)) check_groups(scenario);
  const ExactBound bound = exact_bound(model);
  if (bound.reached > bound.limit) {
    throw ScenarioError(text(scenario.place_of("model.top_k"), ": model.top_k: with ", model.top_k,
                             " choices partial sums reach ", bound.reached, ", ",
                             name_of(model.dtype), " is exact only up to ", bound.limit));
  }
}

}  // namespace moe::sim
