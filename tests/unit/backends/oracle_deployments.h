// Deployments of the oracles' tests: machines and layouts by their names, and a decision in one
// line. Used by the oracle tests of this folder alone.

#pragma once

#include <string>

#include "backends/oracle/experts_oracle.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::oracle_tests {

inline ExpertsDeployment on_cuda(int major, int minor = 0) {
  return {.platform = OraclePlatform::cuda,
          .capability = {major, minor},
          .libraries = usual_libraries(OraclePlatform::cuda),
          .allow_vllm_cutlass = true};
}
inline ExpertsDeployment on_a100() { return on_cuda(8); }
inline ExpertsDeployment on_h100() { return on_cuda(9); }
inline ExpertsDeployment on_b200() { return on_cuda(10); }
inline ExpertsDeployment on_mi300() {
  return {.platform = OraclePlatform::rocm,
          .capability = {9, 4},
          .libraries = usual_libraries(OraclePlatform::rocm)};
}
inline ExpertsDeployment on(OraclePlatform platform) {
  return {.platform = platform, .capability = {}};
}

inline ExpertsDeployment with_tp(ExpertsDeployment deployment, int tp) {
  deployment.sizes.tp = tp;
  return deployment;
}
inline ExpertsDeployment with_ep(ExpertsDeployment deployment, int dp, std::string_view backend) {
  deployment.sizes.dp = dp;
  deployment.enable_expert_parallel = true;
  deployment.all2all_backend = backend;
  return deployment;
}
inline ExpertsDeployment with_quant(ExpertsDeployment deployment, std::string_view name) {
  for (const QuantScheme& scheme : all_quant_schemes()) {
    if (scheme.name != name) continue;
    deployment.quant = scheme;
    return deployment;
  }
  throw ContractError(text("no quantisation is called ", name));
}
inline ExpertsDeployment with_backend(ExpertsDeployment deployment, std::string_view word) {
  deployment.moe_backend = word;
  return deployment;
}
inline ExpertsDeployment with_variable(ExpertsDeployment deployment, const std::string& name,
                                       const std::string& value) {
  deployment.environment.set(name, value);
  return deployment;
}

// "TRITON TritonExperts", "CPU", "ValueError: …".
inline std::string answer(const ExpertsDecision& decision) {
  if (decision.error != OracleError::none) {
    return text(name_of(decision.error), ": ", decision.error_text);
  }
  if (decision.experts == nullptr) return std::string(decision.backend->name);
  return text(decision.backend->name, " ", decision.experts->name);
}

inline std::string answer(std::string_view profile, const ExpertsDeployment& deployment) {
  return answer(select_experts_backend(profile_named(profile), deployment));
}
inline std::string answer(const ExpertsDeployment& deployment) {
  return answer(default_profile, deployment);
}

// "TRITON parallel_config, …": who was refused by what, in order.
inline std::string refusals(const ExpertsDecision& decision) {
  std::vector<std::string> words;
  for (const Candidate& one : decision.trace) {
    if (one.refusal) words.push_back(text(one.backend->name, " ", name_of(one.refusal->predicate)));
  }
  return joined(words);
}
inline std::string refusals(const ExpertsDeployment& deployment) {
  return refusals(select_experts_backend(profile_named(default_profile), deployment));
}

}  // namespace moe::oracle_tests
