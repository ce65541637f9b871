// The predicates over rows, one function each, and their words.
// A composite class is refused by the first predicate that one of its parts fails.

#include "backends/oracle/class_support.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

bool takes_device(const DeviceRule& rule, const ExpertsDeployment& deployment) {
  const OracleEnvironment& environment = deployment.environment;
  const bool is_in_families =
      rule.majors.empty() || std::ranges::count(rule.majors, deployment.capability.major) > 0;
  const bool is_switched_on =
      !rule.needs_aiter_variables ||
      (environment.is_on("VLLM_ROCM_USE_AITER") && environment.is_on("VLLM_ROCM_USE_AITER_MOE"));
  return rule.platforms.has(deployment.platform) && deployment.capability >= rule.least &&
         deployment.capability < rule.below && is_in_families &&
         deployment.libraries.has_all(rule.needs) && is_switched_on;
}

bool takes_device(std::span<const DeviceRule> rules, const ExpertsDeployment& deployment) {
  return std::ranges::any_of(
      rules, [&](const DeviceRule& rule) { return takes_device(rule, deployment); });
}

const SchemeRule* scheme_for(const ExpertsClass& experts, const SupportQuestion& question) {
  const auto takes = [&](const SchemeRule& rule) {
    return (rule.any_weight || rule.weight == question.weight) &&
           (rule.any_activation || rule.activation == question.activation) &&
           (rule.devices.empty() || takes_device(rule.devices, question.deployment));
  };
  const auto rule = std::ranges::find_if(experts.schemes, takes);
  return rule == experts.schemes.end() ? nullptr : &*rule;
}

bool keeps(ParallelLimit limit, const ParallelTraits& parallel) {
  switch (limit) {
    case ParallelLimit::no_flashinfer_nvlink:
      return !parallel.use_flashinfer_nvlink_kernels;
    case ParallelLimit::no_deepep_high_throughput:
      return !parallel.use_deepep_ht_kernels;
    case ParallelLimit::ep_size_1:
      return parallel.ep_size == 1;
    case ParallelLimit::no_all2all:
      return !parallel.use_all2all_kernels;
    case ParallelLimit::no_all2all_but_ag_rs:
      return !parallel.use_all2all_kernels || parallel.use_ag_rs_all2all_kernels;
    case ParallelLimit::all2all_other_than_ag_rs:
      return parallel.use_all2all_kernels && !parallel.use_ag_rs_all2all_kernels;
    case ParallelLimit::no_eplb:
      return !parallel.enable_eplb;
    case ParallelLimit::dp_size_1:
      return parallel.dp_size <= 1;
  }
  throw ContractError("a parallel limit without a rule");
}

constexpr std::array all_limits = {ParallelLimit::no_flashinfer_nvlink,
                                   ParallelLimit::no_deepep_high_throughput,
                                   ParallelLimit::ep_size_1,
                                   ParallelLimit::no_all2all,
                                   ParallelLimit::no_all2all_but_ag_rs,
                                   ParallelLimit::all2all_other_than_ag_rs,
                                   ParallelLimit::no_eplb,
                                   ParallelLimit::dp_size_1};

bool keeps_limits(const ExpertsClass& experts, const ParallelTraits& parallel) {
  return std::ranges::all_of(all_limits, [&](ParallelLimit limit) {
    return !experts.parallel.has(limit) || keeps(limit, parallel);
  });
}

bool holds(Predicate predicate, const ExpertsClass& experts, const SupportQuestion& question) {
  const ExpertsDeployment& deployment = question.deployment;
  switch (predicate) {
    case Predicate::device:
      return takes_device(experts.devices, deployment);
    case Predicate::no_act_and_mul:
      return is_act_and_mul(deployment.activation) || experts.no_act_and_mul;
    case Predicate::activation:
      return experts.activations.has(deployment.activation);
    case Predicate::quant_scheme:
      return scheme_for(experts, question) != nullptr;
    case Predicate::parallel_config:
      return keeps_limits(experts, question.parallel);
    case Predicate::routing_method: {
      const SchemeRule* scheme = scheme_for(experts, question);
      return scheme == nullptr || !scheme->routing || scheme->routing->has(question.routing_method);
    }
    case Predicate::router_logits_dtype:
      return deployment.router_logits_dtype != DType::f32 || !experts.float32_logits ||
             experts.float32_logits->has(question.routing_method);
    case Predicate::shape:
      return deployment.hidden_size % experts.hidden_multiple == 0 &&
             deployment.intermediate_size % experts.intermediate_multiple == 0;
    case Predicate::activation_format:
      return experts.format == question.format;
    case Predicate::batch_invariance:
      return !deployment.batch_invariant || experts.batch_invariant;
    case Predicate::bias:
      return !deployment.has_bias || experts.takes_bias;
  }
  throw ContractError("a predicate without a rule");
}

const ExpertsClass* part_of(const ExpertsClass& experts, std::size_t part,
                            const SupportQuestion& question) {
  const auto* row = find_experts_class(question.classes, question.profile, experts.parts[part]);
  MOE_CHECK(row != nullptr, text(experts.name, " has no part ", experts.parts[part]));
  return row;
}

// The row itself twice, or its parts' rows: the cross product asks a million times.
std::array<const ExpertsClass*, 2> asked_rows(const ExpertsClass& experts,
                                              const SupportQuestion& question) {
  if (!experts.is_composite()) return {&experts, &experts};
  return {part_of(experts, 0, question), part_of(experts, 1, question)};
}

std::string device_text(const DeviceRule& rule) {
  std::vector<std::string_view> platforms;
  for (const OraclePlatform platform : all_oracle_platforms()) {
    if (rule.platforms.has(platform)) platforms.push_back(name_of(platform));
  }
  std::string words = joined(platforms, "/");
  if (!rule.majors.empty()) {
    words += text(" ", joined(rule.majors, ".x/"), ".x");
  } else if (rule.below < DeviceCapability{1000, 0}) {
    words += text(" from ", capability_text(rule.least), " below ", capability_text(rule.below));
  } else if (rule.least > DeviceCapability{}) {
    words += text(" from ", capability_text(rule.least));
  }
  for (const Library library : all_libraries()) {
    if (rule.needs.has(library)) words += text(" with ", name_of(library));
  }
  return rule.needs_aiter_variables ? words + " and VLLM_ROCM_USE_AITER=1" : words;
}

std::string devices_text(std::span<const DeviceRule> rules) {
  std::vector<std::string> words;
  for (const DeviceRule& rule : rules) words.push_back(device_text(rule));
  return joined(words, ", ");
}

template <typename Enum>
std::string names_in(EnumSet<Enum> set, std::span<const Enum> all) {
  std::vector<std::string_view> names;
  for (const Enum value : all) {
    if (set.has(value)) names.push_back(name_of(value));
  }
  return joined(names);
}

std::string scheme_text(const SchemeRule& rule) {
  return text(rule.any_weight ? "any" : name_of(rule.weight), "x",
              rule.any_activation ? "any" : name_of(rule.activation),
              rule.devices.empty() ? "" : text(" (", devices_text(rule.devices), ")"));
}

std::string schemes_text(const ExpertsClass& experts) {
  std::vector<std::string> words;
  for (const SchemeRule& rule : experts.schemes) words.push_back(scheme_text(rule));
  return joined(words, ", ");
}

}  // namespace

std::string_view name_of(Predicate predicate) {
  constexpr std::array<std::string_view, 11> words = {"device",
                                                      "no_act_and_mul",
                                                      "activation",
                                                      "quant_scheme",
                                                      "parallel_config",
                                                      "routing_method",
                                                      "router_logits_dtype",
                                                      "shape",
                                                      "activation_format",
                                                      "batch_invariance",
                                                      "bias"};
  return words[static_cast<std::size_t>(predicate)];
}

std::vector<Predicate> all_predicates() {
  std::vector<Predicate> all;
  for (int i = 0; i <= static_cast<int>(Predicate::bias); ++i) {
    all.push_back(static_cast<Predicate>(i));
  }
  return all;
}

std::vector<std::string_view> broken_limits(const ExpertsClass& experts,
                                            const ParallelTraits& parallel) {
  std::vector<std::string_view> broken;
  for (const ParallelLimit limit : all_limits) {
    if (experts.parallel.has(limit) && !keeps(limit, parallel)) broken.push_back(name_of(limit));
  }
  return broken;
}

std::optional<Refusal> refusal_of(const ExpertsClass& experts, const SupportQuestion& question) {
  static const std::vector<Predicate> predicates = all_predicates();
  const auto rows = asked_rows(experts, question);
  for (const Predicate predicate : predicates) {
    for (const ExpertsClass* row : rows) {
      if (!holds(predicate, *row, question)) return Refusal{predicate, row};
    }
  }
  return std::nullopt;
}

std::string reason_text(const Refusal& refusal, const SupportQuestion& question) {
  const ExpertsDeployment& deployment = question.deployment;
  const std::string reason = [&]() -> std::string {
    switch (refusal.predicate) {
      case Predicate::device:
        return text("current device ", name_of(deployment.platform));
      case Predicate::no_act_and_mul:
        return "no act_and_mul MLP layer";
      case Predicate::activation:
        return text(name_of(deployment.activation), " activation");
      case Predicate::quant_scheme:
        return text("quantization scheme ", name_of(question.weight), "x",
                    name_of(question.activation));
      case Predicate::parallel_config:
        return "parallel config";
      case Predicate::routing_method:
        return text("routing method ", name_of(question.routing_method));
      case Predicate::router_logits_dtype:
        return text("router logits dtype ", name_of(deployment.router_logits_dtype));
      case Predicate::shape:
        return deployment.hidden_size % refusal.part->hidden_multiple != 0
                   ? text("hidden dim ", deployment.hidden_size)
                   : text("intermediate size ", deployment.intermediate_size);
      case Predicate::activation_format:
        return text(name_of(question.format), " activation format");
      case Predicate::batch_invariance:
        return "batch invariance";
      case Predicate::bias:
        return "bias";
    }
    throw ContractError("a predicate without words");
  }();
  return "kernel does not support " + reason;
}

std::string taken_text(const Refusal& refusal, const SupportQuestion& question) {
  const ExpertsClass& row = *refusal.part;
  switch (refusal.predicate) {
    case Predicate::device:
      return text("takes ", devices_text(row.devices));
    case Predicate::no_act_and_mul:
      return "takes gated layers only";
    case Predicate::activation:
      return text("takes ", names_in(row.activations, all_moe_activations()));
    case Predicate::quant_scheme:
      return text("takes ", schemes_text(row));
    case Predicate::parallel_config:
      return text("wants ", joined(broken_limits(row, question.parallel), " and "));
    case Predicate::routing_method:
      return text("takes ", names_in(*scheme_for(row, question)->routing, all_routing_methods()));
    case Predicate::router_logits_dtype:
      return text("takes f32 with ", names_in(*row.float32_logits, all_routing_methods()), " only");
    case Predicate::shape:
      return text("takes multiples of ", question.deployment.hidden_size % row.hidden_multiple != 0
                                             ? row.hidden_multiple
                                             : row.intermediate_multiple);
    case Predicate::activation_format:
      return text("is of the ", name_of(row.format), " format");
    case Predicate::batch_invariance:
    case Predicate::bias:
      break;
  }
  return "";
}

std::string capabilities_text(const ExpertsClass& experts) {
  std::vector<std::string> words = {text(name_of(experts.format), " format, ",
                                         experts.is_monolithic ? "monolithic" : "modular",
                                         ", reduces: ", name_of(experts.reduce))};
  if (experts.is_composite()) {
    words.push_back(text("what both ", joined(experts.parts, " and "), " can"));
    return joined(words, "; ");
  }
  words.push_back(devices_text(experts.devices));
  words.push_back(schemes_text(experts));
  words.push_back(names_in(experts.activations, all_moe_activations()));
  for (const ParallelLimit limit : all_limits) {
    if (experts.parallel.has(limit)) words.emplace_back(name_of(limit));
  }
  if (experts.hidden_multiple > 1) {
    words.push_back(text("hidden sizes in multiples of ", experts.hidden_multiple));
  }
  if (experts.intermediate_multiple > 1) {
    words.push_back(text("intermediate sizes in multiples of ", experts.intermediate_multiple));
  }
  if (experts.no_act_and_mul) words.emplace_back("also not gated");
  if (experts.expert_map) words.emplace_back("takes an expert map");
  if (experts.batch_invariant) words.emplace_back("batch invariant");
  if (!experts.takes_bias) words.emplace_back("no biases");
  return joined(words, "; ");
}

}  // namespace moe
