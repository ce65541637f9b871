// One walk for all families, in vLLM's order: short cuts (platform, LoRA), an explicit choice,
// environment variables, the list of priorities, the end. What differs between families is rows.
// An error of vLLM's is an outcome here, never an exception.

#include "backends/oracle/experts_oracle.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

class Selection {
 public:
  Selection(const Profile& profile, const ExpertsDeployment& deployment,
            const OracleSources& sources)
      : family_(oracle_family(deployment.quant.family)),
        parallel_(sources.parallel(profile, deployment)),
        asked_{profile, deployment, parallel_},
        question_{profile,
                  deployment,
                  parallel_,
                  routing_method_of(profile, deployment),
                  deployment.quant.weight,
                  deployment.quant.activation,
                  parallel_.format(),
                  sources.classes} {
    decision_.family = family_.name;
    decision_.format = question_.format;
  }

  ExpertsDecision decide() {
    if (answered_by_platform() || answered_by_lora()) return std::move(decision_);
    set_priority();
    if (answered_by_request()) return std::move(decision_);
    for (const VariableRule& rule : family_.variables) {
      if (rule.eras.covers(asked_.profile) && answered_by(rule)) return std::move(decision_);
    }
    apply_drops();
    if (!try_all(decision_.priority)) end();
    return std::move(decision_);
  }

 private:
  const OracleBackend& backend_named(std::string_view name) const {
    const OracleBackend* row = find_oracle_backend(family_, asked_.profile, name);
    MOE_CHECK(row != nullptr, text(family_.title, " has no ", name));
    return *row;
  }

  const ExpertsClass& class_named(std::string_view name) const {
    const ExpertsClass* row = find_experts_class(question_.classes, asked_.profile, name);
    MOE_CHECK(row != nullptr, text("no experts class ", name));
    return *row;
  }

  void say(const std::string& rule) { decision_.rules.push_back(rule); }

  void raise(OracleError error, const std::string& words) {
    decision_.error = error;
    decision_.error_text = words;
  }

  bool answered_by_platform() {
    const OraclePlatform platform = asked_.deployment.platform;
    for (const PlatformAnswer& answer : family_.platforms) {
      if (!answer.platforms.has(platform)) continue;
      say(text("platform ", name_of(platform), " takes ", answer.backend, ", nothing is tried"));
      decision_.backend = &backend_named(answer.backend);
      return true;
    }
    return false;
  }

  bool answered_by_lora() {
    if (!asked_.deployment.enable_lora || family_.lora.empty()) return false;
    for (const LoraAnswer& answer : family_.lora) {
      if (answer.when != nullptr && !answer.when(asked_)) continue;
      if (answer.backend.empty()) {
        say("LoRA is refused");
        raise(OracleError::not_implemented_error, std::string(answer.error));
        return true;
      }
      decision_.backend = &backend_named(answer.backend);
      decision_.experts = &class_named(decision_.backend->classes.front());
      decision_.is_unchecked = true;
      say(text("LoRA takes ", answer.backend, " without asking whether it can"));
      return true;
    }
    return false;
  }

  void set_priority() {
    for (const PriorityRule& rule : family_.priorities) {
      if (!rule.eras.covers(asked_.profile)) continue;
      if (!rule.platforms.is_empty() && !rule.platforms.has(asked_.deployment.platform)) continue;
      decision_.priority = rule.backends;
      break;
    }
    for (const MoveRule& rule : family_.moves) {
      if (!rule.eras.covers(asked_.profile) || !rule.when(asked_)) continue;
      for (const std::string_view backend : rule.backends) move(backend, rule.to);
      say(std::string(rule.why));
    }
    if (!family_.wants_clamps || !family_.wants_clamps->covers(asked_.profile)) return;
    if (!asked_.deployment.has_swiglu_limit) return;
    for (const OracleBackend& backend : family_.backends) {
      if (!backend.clamps_swiglu) drop(backend.name, "it does not clamp SwiGLU as the model wants");
    }
  }

  void move(std::string_view backend, MoveTo to) {
    std::vector<std::string_view>& order = decision_.priority;
    if (std::erase(order, backend) == 0) return;
    order.insert(to == MoveTo::front ? order.begin() : order.end(), backend);
  }

  void drop(std::string_view backend, const std::string& why) {
    if (std::erase(decision_.priority, backend) > 0) decision_.dropped.push_back({backend, why});
  }

  void drop_vendor(KernelVendor vendor, const std::string& why) {
    for (const OracleBackend& backend : family_.backends) {
      if (backend.vendor == vendor) drop(backend.name, why);
    }
  }

  std::optional<Refusal> ask(const OracleBackend& backend, const ExpertsClass& experts) const {
    SupportQuestion question = question_;
    const auto own_key = backend.activation_key ? backend.activation_key : family_.activation_key;
    if (own_key) question.activation = *own_key;
    return refusal_of(experts, question);
  }

  bool try_one(const OracleBackend& backend) {
    for (const std::string_view name : backend.classes) {
      const ExpertsClass& experts = class_named(name);
      decision_.trace.push_back({&backend, &experts, ask(backend, experts)});
      if (decision_.trace.back().refusal) continue;
      decision_.backend = &backend;
      decision_.experts = &experts;
      return true;
    }
    return false;
  }

  bool try_all(const std::vector<std::string_view>& backends) {
    return std::ranges::any_of(
        backends, [this](std::string_view name) { return try_one(backend_named(name)); });
  }

  // That one, in the batched format its twin.
  const OracleBackend& in_format(std::string_view name) const {
    const OracleBackend& backend = backend_named(name);
    const bool has_twin =
        question_.format == ActivationFormat::batched_experts && !backend.batched_twin.empty();
    return has_twin ? backend_named(backend.batched_twin) : backend;
  }

  // vLLM's "return that or raise".
  bool force(const OracleBackend& backend) {
    if (try_one(backend)) return true;
    std::string since;
    if (!decision_.trace.empty()) {
      since = text(" since ", reason_text(*decision_.trace.back().refusal,
                                          question_for(*decision_.trace.back().backend)));
    }
    raise(OracleError::value_error,
          text(family_.title, " backend ", backend.shown(),
               " does not support the deployment configuration", since, "."));
    return true;
  }

  SupportQuestion question_for(const OracleBackend& backend) const {
    SupportQuestion question = question_;
    const auto own_key = backend.activation_key ? backend.activation_key : family_.activation_key;
    if (own_key) question.activation = *own_key;
    return question;
  }

  const RequestWord* request_of(std::string_view word) const {
    const auto request = std::ranges::find_if(family_.requests, [&](const RequestWord& one) {
      return one.word == word && one.eras.covers(asked_.profile);
    });
    return request == family_.requests.end() ? nullptr : &*request;
  }

  bool answered_by_request() {
    const std::string& word = asked_.deployment.moe_backend;
    if (word == "auto") return false;
    if (family_.ignores_requests && family_.ignores_requests->covers(asked_.profile)) {
      decision_.notes.push_back(text("moe_backend ", word, " is ignored by this oracle"));
      return false;
    }
    const RequestWord* request = request_of(word);
    if (request == nullptr) return refuse_word(word);
    if (request->is_batched)
      question_.format = decision_.format = ActivationFormat::batched_experts;
    const OracleBackend& backend = in_format(request->backend);
    say(text("moe_backend ", word, " asks for ", backend.name));
    if (is_disabled(backend)) return true;
    if (!is_on_device(backend)) {
      decision_.notes.push_back(
          text("moe_backend ", word, " is not for this device: warned of, ", "then as if auto"));
      return false;
    }
    return force(backend);
  }

  bool refuse_word(const std::string& word) {
    std::vector<std::string> expected;
    for (const RequestWord& one : family_.requests) {
      if (one.eras.covers(asked_.profile)) expected.push_back(text("'", one.word, "'"));
    }
    raise(OracleError::value_error,
          text("moe_backend='", word, "' is not supported for ", family_.title,
               ". Expected one of [", joined(expected), "]."));
    return true;
  }

  // What a request may not ask for although the word is known.
  bool is_disabled(const OracleBackend& backend) {
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

  // True but where the family goes on without a device that the request would need.
  bool is_on_device(const OracleBackend& backend) const {
    const auto& eras = family_.goes_on_without_device;
    if (!eras || !eras->covers(asked_.profile)) return true;
    return std::ranges::any_of(backend.classes, [&](std::string_view name) {
      const auto refusal = ask(backend, class_named(name));
      return !refusal || refusal->predicate != Predicate::device;
    });
  }

  bool answered_by(const VariableRule& rule) {
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

  // "A=1, B=0"; a value that nobody set is the default.
  std::string setting_text(const VariableRule& rule) const {
    const OracleEnvironment& environment = asked_.deployment.environment;
    std::vector<std::string> words;
    for (const std::string_view name : rule.variables) {
      words.push_back(
          text(name, "=", environment.value(name), environment.is_set(name) ? "" : " by default"));
    }
    return joined(words);
  }

  bool answered_by_flashinfer(const VariableRule& rule, const std::string& setting) {
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

  bool answered_by_device(const VariableRule& rule, const std::string& setting) {
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

  void apply_drops() {
    for (const DropRule& rule : family_.drops) {
      if (!rule.eras.covers(asked_.profile) || !rule.when(asked_)) continue;
      for (const std::string_view backend : rule.backends) drop(backend, std::string(rule.why));
    }
  }

  void end() {
    const OraclePlatform platform = asked_.deployment.platform;
    const OracleEnd& end = family_.end;
    if (end.last_resort && end.last_resort->platforms.has(platform)) {
      force(backend_named(end.last_resort->backend));
      return;
    }
    if (end.none_on.has(platform)) {
      say(text("platform ", name_of(platform), " gets NONE where nothing can"));
      decision_.backend = &backend_named("NONE");
      return;
    }
    std::string words(end.text);
    if (family_.end_lists_reasons && family_.end_lists_reasons->covers(asked_.profile)) {
      for (const Candidate& one : decision_.trace) {
        words += text(" ", one.backend->name, ": ",
                      reason_text(*one.refusal, question_for(*one.backend)), ";");
      }
    }
    raise(end.error, words);
  }

  const OracleFamily& family_;
  ParallelTraits parallel_;
  OracleQuestion asked_;
  SupportQuestion question_;
  ExpertsDecision decision_;
};

}  // namespace

ExpertsDecision select_experts_backend(const Profile& profile, const ExpertsDeployment& deployment,
                                       const OracleSources& sources) {
  MOE_CHECK(has_oracles(profile), text("no oracles are described for ", profile.name));
  return Selection(profile, deployment, sources).decide();
}

}  // namespace moe
