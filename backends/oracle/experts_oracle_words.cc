// What can be asked of a decision beside it: why not another one, and what follows from it. And the
// oracles by name.
// Pure, as experts_oracle.cc.

#include <algorithm>

#include "backends/oracle/experts_oracle.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

ExpertsDecision select_of(OracleFamilyName family, const Profile& profile,
                          const ExpertsDeployment& deployment) {
  MOE_CHECK(deployment.quant.family == family,
            text("the oracle of ", name_of(family), " was asked about ", deployment.quant.name));
  return select_experts_backend(profile, deployment);
}

// Where a class stands that nobody asked, as if it had been.
std::string unasked_text(const ExpertsClass& experts, const SupportQuestion& question) {
  const auto refusal = refusal_of(experts, question);
  if (!refusal) return "it could do it";
  const std::string takes = taken_text(*refusal, question);
  return text("it would be refused: ", reason_text(*refusal, question),
              takes.empty() ? "" : text(" (", refusal->part->name, " ", takes, ")"));
}

std::string refused_text(const Candidate& candidate, const SupportQuestion& question) {
  const std::string takes = taken_text(*candidate.refusal, question);
  return text("refused: ", reason_text(*candidate.refusal, question),
              takes.empty() ? "" : text(" (", candidate.refusal->part->name, " ", takes, ")"));
}

// Why a backend was never asked.
std::string absence_text(const ExpertsDecision& decision, const OracleBackend& backend) {
  const auto dropped = std::ranges::find(decision.dropped, backend.name, &DroppedBackend::backend);
  if (dropped != decision.dropped.end()) return text("not tried: ", dropped->why);
  const bool is_listed = std::ranges::count(decision.priority, backend.name) > 0;
  if (!is_listed && !decision.priority.empty()) {
    return "not tried: it is not in the list of this deployment, which is " +
           joined(decision.priority, ", ");
  }
  const std::string acted = decision.rules.empty() ? "" : text(" (", decision.rules.back(), ")");
  if (decision.backend != nullptr) {
    return text("not tried: ", decision.backend->name, " was taken before it", acted);
  }
  return text("not tried: the oracle raised before", acted);
}

std::string answer_for(const ExpertsDecision& decision, const OracleBackend& backend,
                       const ExpertsClass* experts, const SupportQuestion& question) {
  const std::string who =
      experts == nullptr ? std::string(backend.name) : text(backend.name, " (", experts->name, ")");
  if (decision.backend == &backend && decision.experts == experts) {
    return text(who, ": chosen", decision.is_unchecked ? " without being asked" : "");
  }
  const auto asked = std::ranges::find_if(decision.trace, [&](const Candidate& one) {
    return one.backend == &backend && one.experts == experts;
  });
  if (asked != decision.trace.end()) return text(who, ": ", refused_text(*asked, question));
  const std::string unasked =
      experts == nullptr ? "" : text("; ", unasked_text(*experts, question));
  return text(who, ": ", absence_text(decision, backend), unasked);
}

bool is_int8_defect(const Profile& profile, const ExpertsDecision& decision) {
  return decision.family == OracleFamilyName::int8 && decision.experts != nullptr &&
         era_of(profile) < Era::late_2026;
}

// Variables that are set and that nothing of this family reads under the profile.
std::vector<std::string> unread_variables(const Profile& profile,
                                          const ExpertsDeployment& deployment) {
  const OracleFamily& family = oracle_family(deployment.quant.family);
  std::vector<std::string> unread;
  for (const auto& [name, value] : deployment.environment.values()) {
    const std::string& variable = name;
    const auto reads = [&](const VariableRule& rule) {
      const bool chooses = rule.effect == VariableEffect::flashinfer_choice &&
                           variable == "VLLM_FLASHINFER_MOE_BACKEND";
      return rule.eras.covers(profile) &&
             (chooses || std::ranges::count(rule.variables, variable) > 0);
    };
    const bool in_drops = std::ranges::any_of(family.drops, [&](const DropRule& rule) {
      return rule.eras.covers(profile) && rule.why.find(variable) != std::string_view::npos;
    });
    const bool switches_aiter =
        variable == "VLLM_ROCM_USE_AITER" || variable == "VLLM_ROCM_USE_AITER_MOE";
    const bool is_idle_choice = variable == "VLLM_FLASHINFER_MOE_BACKEND" &&
                                std::ranges::any_of(family.variables, [&](const auto& rule) {
                                  return rule.effect == VariableEffect::flashinfer_choice &&
                                         rule.eras.covers(profile) &&
                                         !deployment.environment.is_on(rule.variables.front());
                                });
    if (is_idle_choice) {
      unread.push_back(text(variable, " chooses nothing where FlashInfer's switch is not 1"));
      continue;
    }
    if (in_drops || switches_aiter || std::ranges::any_of(family.variables, reads)) continue;
    unread.push_back(text(variable, " is not read by the ", name_of(family.name), " oracle under ",
                          profile.name));
  }
  return unread;
}

}  // namespace

ExpertsDecision select_unquantized(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::unquantized, profile, deployment);
}
ExpertsDecision select_fp8(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::fp8, profile, deployment);
}
ExpertsDecision select_mxfp8(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::mxfp8, profile, deployment);
}
ExpertsDecision select_nvfp4(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::nvfp4, profile, deployment);
}
ExpertsDecision select_mxfp4(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::mxfp4, profile, deployment);
}
ExpertsDecision select_int8(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::int8, profile, deployment);
}
ExpertsDecision select_wna16(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::wna16, profile, deployment);
}

ExpertsDecision select_mxfp4_generic(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::mxfp4_generic, profile, deployment);
}
ExpertsDecision select_w4a8(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::w4a8, profile, deployment);
}
ExpertsDecision select_w4a8_int8(const Profile& profile, const ExpertsDeployment& deployment) {
  return select_of(OracleFamilyName::w4a8_int8, profile, deployment);
}

SupportQuestion question_of(const Profile& profile, const ExpertsDeployment& deployment,
                            const ExpertsDecision& decision, const OracleBackend& backend) {
  const OracleFamily& family = oracle_family(decision.family);
  const auto own_key = backend.activation_key ? backend.activation_key : family.activation_key;
  return {profile,
          deployment,
          parallel_traits_of(profile, deployment),
          routing_method_of(profile, deployment),
          deployment.quant.weight,
          own_key.value_or(deployment.quant.activation),
          decision.format,
          all_experts_classes()};
}

std::vector<std::string> names_of_family(const Profile& profile, const OracleFamily& family) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view name) {
    if (std::ranges::count(names, name) == 0) names.emplace_back(name);
  };
  for (const OracleBackend& backend : family.backends) {
    if (!backend.eras.covers(profile)) continue;
    add(backend.name);
    for (const std::string_view experts : backend.classes) add(experts);
  }
  return names;
}

std::vector<std::string> why_not(const Profile& profile, const ExpertsDeployment& deployment,
                                 std::string_view name) {
  const ExpertsDecision decision = select_experts_backend(profile, deployment);
  std::vector<std::string> answers;
  for (const OracleBackend& backend : oracle_family(decision.family).backends) {
    if (!backend.eras.covers(profile)) continue;
    const SupportQuestion question = question_of(profile, deployment, decision, backend);
    if (backend.name == name && backend.classes.empty()) {
      answers.push_back(answer_for(decision, backend, nullptr, question));
    }
    for (const std::string_view experts : backend.classes) {
      if (backend.name != name && experts != name) continue;
      const ExpertsClass* row = find_experts_class(all_experts_classes(), profile, experts);
      answers.push_back(answer_for(decision, backend, row, question));
    }
  }
  MOE_CHECK(!answers.empty(), text("no backend and no class is called ", name));
  return answers;
}

std::vector<std::string> notes_on(const Profile& profile, const ExpertsDeployment& deployment,
                                  const ExpertsDecision& decision) {
  std::vector<std::string> notes = decision.notes;
  const OracleBackend* backend = decision.backend;
  if (backend != nullptr && !backend->quant_config.empty()) {
    const bool is_per_tensor = deployment.quant.weight == QuantKey::fp8_static_tensor &&
                               !backend->quant_config_per_tensor.empty();
    notes.push_back(text("quantisation config: ",
                         is_per_tensor ? backend->quant_config_per_tensor : backend->quant_config));
  }
  if (is_int8_defect(profile, decision)) {
    notes.emplace_back(
        "without a static activation scale the config is made w8a16 (fixed by #50833), and the "
        "class refuses int8 rows when it runs (fixed by #51411)");
  }
  if (backend != nullptr && decision.family == OracleFamilyName::nvfp4) {
    notes.push_back(backend->vendor == KernelVendor::flashinfer
                        ? "experts of all ranks may share one activation scale"
                        : "activation scales are those of this rank's experts");
  }
  const bool is_mxfp4 = decision.family == OracleFamilyName::mxfp4 ||
                        decision.family == OracleFamilyName::mxfp4_generic;
  if (backend != nullptr && is_mxfp4 && decision.experts != nullptr) {
    const ExpertsSizes sizes = mxfp4_sizes(*backend, deployment);
    notes.push_back(text("weights are made for hidden ", sizes.hidden_size, ", intermediate ",
                         sizes.intermediate_size));
  }
  const bool is_plain = decision.family == OracleFamilyName::unquantized && backend != nullptr &&
                        backend->vendor == KernelVendor::flashinfer &&
                        deployment.activation == MoEActivation::swigluoai;
  if (is_plain && !decision.is_monolithic()) {
    notes.emplace_back("swigluoai runs as plain SwiGLU here: no alpha, no limit, no + 1");
  }
  const bool is_probed_loosely = decision.family == OracleFamilyName::unquantized &&
                                 decision.is_monolithic() && era_of(profile) < Era::late_2026;
  if (is_probed_loosely) {
    notes.emplace_back(
        "the library is looked for, not its bf16 kernel: an older one may be chosen without it");
  }
  if (decision.is_monolithic()) {
    notes.emplace_back(
        "monolithic: router logits travel, no shared experts inside, no EPLB load, no capture");
  }
  for (const std::string& unread : unread_variables(profile, deployment)) notes.push_back(unread);
  return notes;
}

ExpertsSizes mxfp4_sizes(const OracleBackend& backend, const ExpertsDeployment& deployment) {
  const bool is_rocm = deployment.platform == OraclePlatform::rocm;
  const bool is_xpu = deployment.platform == OraclePlatform::xpu;
  const SizeMultiples of_platform =
      is_rocm ? SizeMultiples{256, 256, 256} : SizeMultiples{1, 1, 64};
  const SizeMultiples by = backend.sizes.value_or(of_platform);
  const auto up = [](Count size, Count multiple) {
    return (size + multiple - 1) / multiple * multiple;
  };
  return {up(deployment.hidden_size, is_xpu ? by.hidden_on_xpu : by.hidden),
          up(deployment.intermediate_size, by.intermediate)};
}

}  // namespace moe
