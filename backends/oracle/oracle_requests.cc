// What a user asks for: a word of moe_backend, and variables that are set. Each answers, drops
// backends from the list, or does nothing (experts-and-oracles.md, 7, steps 2 and 3 of all
// oracles).

#include <algorithm>

#include "backends/oracle/oracle_selection.h"
#include "kernels/base/text.h"

namespace moe::oracle_steps {
namespace {

std::string names_text(const std::vector<const OracleBackend*>& backends) {
  std::vector<std::string_view> names;
  for (const OracleBackend* backend : backends) names.push_back(backend->name);
  return joined(names, " or ");
}

}  // namespace

const RequestWord* Selection::request_of(std::string_view word) const {
  const auto request = std::ranges::find_if(family_.requests, [&](const RequestWord& one) {
    return one.word == word && one.eras.covers(asked_.profile);
  });
  return request == family_.requests.end() ? nullptr : &*request;
}

bool Selection::answered_by_request() {
  const std::string& word = asked_.deployment.moe_backend;
  if (word == "auto") return false;
  if (family_.ignores_requests && family_.ignores_requests->covers(asked_.profile)) {
    decision_.notes.push_back(text("moe_backend ", word, " is ignored by this oracle"));
    return false;
  }
  const RequestWord* request = request_of(word);
  if (request == nullptr) return refuse_word(word);
  if (request->is_batched) question_.format = decision_.format = ActivationFormat::batched_experts;
  const std::vector<const OracleBackend*> wanted = wanted_by(*request);
  if (wanted.empty()) {
    raise(OracleError::value_error, text("moe_backend='", word, "' does not support activation=",
                                         name_of(asked_.deployment.quant.activation)));
    return true;
  }
  const OracleBackend& backend = *wanted.front();
  say(text("moe_backend ", word, " asks for ", names_text(wanted)));
  if (is_disabled(backend)) return true;
  if (!is_on_device(backend)) {
    decision_.notes.push_back(
        text("moe_backend ", word, " is not for this device: warned of, ", "then as if auto"));
    return false;
  }
  if (std::ranges::none_of(wanted, [this](const auto* one) { return try_one(*one); })) {
    refuse(*wanted.back());
  }
  return true;
}

std::vector<const OracleBackend*> Selection::wanted_by(const RequestWord& request) const {
  std::vector<const OracleBackend*> wanted = {&in_format(request.backend)};
  for (const std::string_view name : request.also) wanted.push_back(&in_format(name));
  std::erase_if(wanted, [this](const OracleBackend* one) { return is_filtered(*one); });
  return wanted;
}

bool Selection::refuse_word(const std::string& word) {
  std::vector<std::string> expected;
  for (const RequestWord& one : family_.requests) {
    if (one.eras.covers(asked_.profile)) expected.push_back(text("'", one.word, "'"));
  }
  raise(OracleError::value_error,
        text("moe_backend='", word, "' is not supported for ", family_.title, ". Expected one of [",
             joined(expected), "]."));
  return true;
}

bool Selection::is_disabled(const OracleBackend& backend) {
  const ExpertsDeployment& deployment = asked_.deployment;
  if (backend.vendor == KernelVendor::vllm_cutlass && !family_.vllm_cutlass_disabled.empty() &&
      !deployment.allow_vllm_cutlass) {
    raise(OracleError::value_error, std::string(family_.vllm_cutlass_disabled));
    return true;
  }
  const bool wants_clamps = family_.wants_clamps && family_.wants_clamps->covers(asked_.profile);
  if (wants_clamps && deployment.has_swiglu_limit && !backend.clamps_swiglu) {
    raise(OracleError::value_error, text("the model sets swiglu_limit, and moe_backend='",
                                         deployment.moe_backend, "' does not clamp"));
    return true;
  }
  return false;
}

bool Selection::is_on_device(const OracleBackend& backend) const {
  const auto& eras = family_.goes_on_without_device;
  if (!eras || !eras->covers(asked_.profile)) return true;
  return std::ranges::any_of(backend.classes, [&](std::string_view name) {
    const auto refusal = ask(backend, class_named(name));
    return !refusal || refusal->predicate != Predicate::device;
  });
}

bool Selection::answered_by(const VariableRule& rule) {
  const OracleEnvironment& environment = asked_.deployment.environment;
  const auto is_set = [&](std::string_view name) { return environment.is_set(name); };
  const auto is_on = [&](std::string_view name) { return environment.is_on(name); };
  if (std::ranges::none_of(rule.variables, is_set)) return false;
  const bool all_on = std::ranges::all_of(rule.variables, is_on);
  const std::string setting = setting_text(rule);
  switch (rule.effect) {
    case VariableEffect::flashinfer_choice:
      if (all_on) return answered_by_flashinfer(rule, setting);
      drop_vendor(rule.drops, setting);
      return false;
    case VariableEffect::vendor_switch:
      if (!all_on) {
        drop_vendor(rule.drops, setting);
        return false;
      }
      break;
    case VariableEffect::force_on:
      if (!all_on) return false;
      break;
    case VariableEffect::by_device:
      if (all_on) return answered_by_device(rule, setting);
      for (const std::string_view backend : rule.backends) drop(backend, setting);
      return false;
  }
  const OracleBackend& backend = rule.effect == VariableEffect::vendor_switch
                                     ? in_format(rule.backends.front())
                                     : backend_named(rule.backends.front());
  say(text(setting, " asks for ", backend.name));
  return force(backend);
}

std::string Selection::setting_text(const VariableRule& rule) const {
  const OracleEnvironment& environment = asked_.deployment.environment;
  std::vector<std::string> words;
  for (const std::string_view name : rule.variables) {
    words.push_back(
        text(name, "=", environment.value(name), environment.is_set(name) ? "" : " by default"));
  }
  return joined(words);
}

bool Selection::answered_by_flashinfer(const VariableRule& rule, const std::string& setting) {
  const OracleEnvironment& environment = asked_.deployment.environment;
  if (!environment.is_set("VLLM_FLASHINFER_MOE_BACKEND")) {
    say(text(setting, " tries ", joined(rule.backends), " alone"));
    if (try_all(rule.backends)) return true;
    raise(OracleError::not_implemented_error,
          text("Found ", rule.variables.front(), "=1, but no FlashInfer ", family_.title,
               " backend supports the configuration."));
    return true;
  }
  const std::string_view choice = environment.value("VLLM_FLASHINFER_MOE_BACKEND");
  // Latency's kernels are SM100's: elsewhere it means the others, in silence.
  const bool is_latency = choice == "latency" &&
                          asked_.deployment.platform == OraclePlatform::cuda &&
                          asked_.deployment.capability.major == 10;
  const std::string_view wanted = choice == "masked_gemm" ? "FLASHINFER_CUTEDSL"
                                  : is_latency            ? "FLASHINFER_TRTLLM"
                                                          : "FLASHINFER_CUTLASS";
  say(text(setting, ", VLLM_FLASHINFER_MOE_BACKEND=", choice, " asks for ", wanted));
  if (find_oracle_backend(family_, asked_.profile, wanted) == nullptr) {
    raise(OracleError::value_error,
          text("FlashInfer MoE backend CUTEDSL (", "VLLM_FLASHINFER_MOE_BACKEND=", choice,
               ") does not support ", family_.title, "."));
    return true;
  }
  // UNVERIFIED: that the batched twin is taken here as it is for moe_backend.
  return force(in_format(wanted));
}

bool Selection::answered_by_device(const VariableRule& rule, const std::string& setting) {
  const DeviceCapability& capability = asked_.deployment.capability;
  const bool is_cuda = asked_.deployment.platform == OraclePlatform::cuda;
  const bool is_sm90 = is_cuda && capability == DeviceCapability{9, 0};
  const bool is_sm100 = is_cuda && capability.major == 10;
  if (!is_sm90 && !is_sm100) {
    raise(OracleError::value_error,
          text(setting, " is set, and the current device capability is not supported: SM90 ",
               "(CUTLASS) and SM100 (TRTLLM) are"));
    return true;
  }
  const OracleBackend& backend = backend_named(rule.backends[is_sm90 ? 0 : 1]);
  say(text(setting, " asks for ", backend.name));
  return force(backend);
}

}  // namespace moe::oracle_steps
