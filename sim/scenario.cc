// What can be said of a scenario without its file: places of its keys, its exact bound, impossible
// worlds. Called by the reader and after a trace has replaced parts of a scenario.

#include "sim/scenario.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/eplb_rules.h"
#include "sim/rank_limits.h"

namespace moe::sim {
namespace {

constexpr double weight_max = 2;  // mix's weights are 1 and 2
constexpr double smallest_unit = 0x1p-8;

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

// The shared experts' MLP is cut over the TP group, but for probes, which are cut by column.
void check_shared_experts(const Scenario& scenario) {
  const ModelSpec& model = scenario.model;
  const WorldSpec& world = scenario.world;
  const bool is_cut = world.tp > 1 && !world.sequence_parallel;
  if (model.num_shared_experts == 0 || !is_cut || model.kernel == ExpertKernel::probe) return;
  for (int layer = 0; layer < model.num_layers; ++layer) {
    const Count intermediate = model.num_shared_experts * model.layer(layer).intermediate_size;
    if (intermediate % world.tp == 0) continue;
    refuse(scenario, "model.intermediate",
           text("the ", world.tp, " ranks of tp share the shared experts, and ", intermediate,
                " does not divide by them"));
  }
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

std::string_view name_of(Selection selection) {
  return selection == Selection::modular ? "modular" : "monolithic";
}

std::string_view name_of(DispatchSite site) {
  if (site == DispatchSite::runner_batched) return "runner_batched";
  return site == DispatchSite::kernel ? "kernel" : "runner";
}

Selection selection_named(std::string_view word) {
  return word == "modular" ? Selection::modular : Selection::monolithic;
}

DispatchSite dispatch_site_named(std::string_view word) {
  if (word == "runner_batched") return DispatchSite::runner_batched;
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

int hidden_max(const ModelSpec& model) {
  const QuantRecipe recipe = model.quantization.activations;
  if (model.kernel == ExpertKernel::probe && recipe != QuantRecipe::none) {
    return recipe_row(recipe).format == NumberFormat::e2m1 ? 6 : 7;
  }
  if (model.kernel == ExpertKernel::probe) return model.scale == 1 ? 8 : 2;
  return model.scale == 1 ? 2 : 1;
}

ExactBound exact_bound(const ModelSpec& model) {
  const double input = hidden_max(model);
  const double weighted = model.router_weight_on_input ? input * weight_max : input;
  const auto output = [&](double x) { return model.kernel == ExpertKernel::probe ? x : x * x; };
  const double weight = model.router_weight_on_input ? 1 : weight_max;
  ExactBound bound{.limit = static_cast<double>(integer_limit(model.dtype))};
  bound.reached = output(weighted) * weight * model.top_k * std::max(model.scale, 1.0);
  if (model.num_shared_experts > 0) bound.reached += output(input);
  const auto is_whole = [](double x) { return x == std::floor(x); };
  const QuantRecipe recipe = model.quantization.activations;
  const bool has_halves =
      recipe_row(recipe).format == NumberFormat::e2m1 || recipe == QuantRecipe::fp8_dynamic_tensor;
  if (has_halves && model.kernel == ExpertKernel::probe) bound.unit = 0.5;
  while (!is_whole(model.scale / bound.unit) && bound.unit > smallest_unit) bound.unit /= 2;
  bound.is_exact = is_whole(model.scale / bound.unit) && model.scale > 0;
  return bound;
}

ExactLoss why_not_exact(const ModelSpec& model) {
  const QuantizationScheme& scheme = model.quantization;
  if (scheme.activations == QuantRecipe::none) {
    if (scheme.weights == QuantRecipe::none) return {};
    return {"model.quantization",
            text(scheme.name,
                 " changes weights alone, which exact experts do not have: it needs "
                 "values: real")};
  }
  const NumberFormat format = recipe_row(scheme.activations).format;
  if (format == NumberFormat::int8) {
    return {"model.quantization",
            text(scheme.name, " has no world whose numbers survive it: it needs values: real")};
  }
  if (format == NumberFormat::e2m1 && model.kernel == ExpertKernel::exact_gemm) {
    return {"model.kernel",
            text("exact_gemm's numbers do not survive ", scheme.name, ": choose probe")};
  }
  if (model.dtype == DType::f32 && model.kernel == ExpertKernel::exact_gemm &&
      recipe_row(scheme.weights).scale_dtype == DType::f32) {
    return {"model.dtype",
            "f32 keeps what scales like 1/448 round off, which bf16 and f16 do not: "
            "choose one of those"};
  }
  return {};
}

namespace {

void check_exact_quantization(const Scenario& scenario) {
  const ExactLoss loss = why_not_exact(scenario.model);
  if (!loss.empty()) refuse(scenario, loss.key, loss.why);
}

void check_exact_world(const Scenario& scenario) {
  const ModelSpec& model = scenario.model;
  if (model.kernel == ExpertKernel::real) {
    refuse(scenario, "model.kernel", "real belongs to values: real; choose probe or exact_gemm");
  }
  if (scenario.expect == Expectation::derived) {
    refuse(scenario, "expect", "derived belongs to values: real; exact worlds are same_bytes");
  }
  for (const char* key : {"model.activation", "model.bias"}) {
    if (!scenario.says(key)) continue;
    refuse(scenario, key, "an exact world's experts have their own form; it needs values: real");
  }
  if (model.scale != 1 && model.dtype == DType::f16 && model.num_shared_experts > 0) {
    refuse(scenario, "model.scale",
           "f16 divides the shared output by it, which is not exact: choose bf16 or f32");
  }
  check_exact_quantization(scenario);
  const ExactBound bound = exact_bound(model);
  if (!bound.is_exact) {
    refuse(scenario, "model.scale",
           text(model.scale, " has no power of two as its unit: sums would not be exact"));
  }
  if (!bound.holds()) {
    refuse(scenario, "model.top_k",
           text("with ", model.top_k, " choices partial sums reach ", bound.reached,
                bound.unit == 1 ? "" : text(" in units of ", bound.unit), ", ",
                name_of(model.dtype), " is exact only up to ", bound.limit * bound.unit));
  }
}

// One scale for all rows that a rank has in a call: whatever cuts a step into other calls, or moves
// experts to other ranks, changes scales and with them outputs.
void check_scale_of_tensors(const Scenario& scenario) {
  if (scenario.model.quantization.activations != QuantRecipe::fp8_dynamic_tensor) return;
  for (const char* key : {"engine", "dp_chunking", "eplb"}) {
    if (!scenario.says(key)) continue;
    refuse(scenario, key,
           text(scenario.model.quantization.name,
                " has one scale for all rows that a rank has at once, which this changes: it needs "
                "values: integers"));
  }
}

void check_real_world(const Scenario& scenario) {
  if (scenario.model.kernel != ExpertKernel::real) {
    refuse(scenario, "model.kernel", "probe and exact_gemm belong to values: integers");
  }
  check_scale_of_tensors(scenario);
  if (scenario.expect == Expectation::same_bytes && scenario.says("expect")) {
    refuse(scenario, "expect", "real worlds are judged by derived bounds: say derived");
  }
  if (std::holds_alternative<LogitsRouting>(scenario.routing)) {
    refuse(scenario, "routing.logits",
           "a router's own weights are not bounded yet: real worlds take recorded or made-up ones");
  }
  if (scenario.model.scale != 1 && std::holds_alternative<TraceRouting>(scenario.routing)) {
    refuse(scenario, "model.scale",
           "recorded weights contain the routed scaling factor already (leave the key out)");
  }
}

}  // namespace

void check_world(const Scenario& scenario) {
  if (!std::holds_alternative<ExpectedError>(scenario.end)) {
    check_ranks(scenario);
    check_eplb(scenario);
  }
  const ModelSpec& model = scenario.model;
  const std::string key = scenario.says("model.top_k") || !scenario.says("model.experts")
                              ? "model.top_k"
                              : "model.experts";
  if (model.top_k > model.num_experts) {
    refuse(scenario, key,
           text("a token cannot choose ", model.top_k, " of ", model.num_experts, " experts"));
  }
  if (model.router_weight_on_input && model.top_k != 1) {
    refuse(scenario, "model.router_weight_on_input",
           text("a weight on the input needs top_k 1, not ", model.top_k));
  }
  if (std::holds_alternative<LogitsRouting>(scenario.routing)) check_groups(scenario);
  check_shared_experts(scenario);
  if (model.scale <= 0) refuse(scenario, "model.scale", "must be above 0");
  scenario.values == Values::integers ? check_exact_world(scenario) : check_real_world(scenario);
}

}  // namespace moe::sim
