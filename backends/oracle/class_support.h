// is_supported_config: whether an experts class can do what a deployment asks, predicate by
// predicate in vLLM's order, and the words for the first that fails (experts-and-oracles.md, 6.1).
// Pure; reads rows, never names.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/oracle/experts_class.h"

namespace moe {

// ORDER: as they are asked. bias is [H]'s, of single classes.
enum class Predicate {
  device,
  no_act_and_mul,
  activation,
  quant_scheme,
  parallel_config,
  routing_method,
  router_logits_dtype,
  shape,
  activation_format,
  batch_invariance,
  bias
};
std::string_view name_of(Predicate predicate);
std::vector<Predicate> all_predicates();

// What a class is asked: a deployment with what follows from it, once for all candidates. LIFETIME:
// as the deployment's and the rows'.
struct SupportQuestion {
  const Profile& profile;
  const ExpertsDeployment& deployment;
  ParallelTraits parallel;
  RoutingMethod routing_method;
  QuantKey weight = QuantKey::none;
  QuantKey activation = QuantKey::none;
  ActivationFormat format = ActivationFormat::standard;
  std::span<const ExpertsClass> classes;  // for the parts of composite ones
};

// part: the class that refuses, of a composite one that of its parts. Null: all take it.
struct Refusal {
  Predicate predicate = Predicate::device;
  const ExpertsClass* part = nullptr;

  bool operator==(const Refusal&) const = default;
};
std::optional<Refusal> refusal_of(const ExpertsClass& experts, const SupportQuestion& question);

// Which of its limits a parallel configuration breaks. REQUIRES a class without parts.
std::vector<std::string_view> broken_limits(const ExpertsClass& experts,
                                            const ParallelTraits& parallel);

// As vLLM says it: "kernel does not support quantization scheme NonexNone".
std::string reason_text(const Refusal& refusal, const SupportQuestion& question);
// What the class would have taken, which vLLM does not say.
std::string taken_text(const Refusal& refusal, const SupportQuestion& question);

// All that the row says, in one line. Of a composite class that it is what its parts are.
std::string capabilities_text(const ExpertsClass& experts);

}  // namespace moe
