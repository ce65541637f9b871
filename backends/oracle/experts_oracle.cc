// One walk for all families, in vLLM's order: short cuts (platform, LoRA), an explicit choice,
// environment variables, the list of priorities, the end. What differs between families is rows.
// An error of vLLM's is an outcome here, never an exception.

#include "backends/oracle/experts_oracle.h"

#include <algorithm>

#include "backends/oracle/oracle_selection.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace oracle_steps {

Selection::Selection(const Profile& profile, const ExpertsDeployment& deployment,
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

ExpertsDecision Selection::decide() {
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

const OracleBackend& Selection::backend_named(std::string_view name) const {
  const OracleBackend* row = find_oracle_backend(family_, asked_.profile, name);
  MOE_CHECK(row != nullptr, text(family_.title, " has no ", name));
  return *row;
}

const ExpertsClass& Selection::class_named(std::string_view name) const {
  const ExpertsClass* row = find_experts_class(question_.classes, asked_.profile, name);
  MOE_CHECK(row != nullptr, text("no experts class ", name));
  return *row;
}

void Selection::say(const std::string& rule) { decision_.rules.push_back(rule); }

void Selection::raise(OracleError error, const std::string& words) {
  decision_.error = error;
  decision_.error_text = words;
}

bool Selection::answered_by_platform() {
  const OraclePlatform platform = asked_.deployment.platform;
  for (const PlatformAnswer& answer : family_.platforms) {
    if (!answer.platforms.has(platform)) continue;
    if (answer.backend.empty()) {
      say(text("platform ", name_of(platform), " is refused"));
      raise(OracleError::not_implemented_error, std::string(answer.error));
      return true;
    }
    say(text("platform ", name_of(platform), " takes ", answer.backend, ", nothing is tried"));
    decision_.backend = &backend_named(answer.backend);
    return true;
  }
  return false;
}

bool Selection::answered_by_lora() {
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

void Selection::set_priority() {
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

void Selection::move(std::string_view backend, MoveTo to) {
  std::vector<std::string_view>& order = decision_.priority;
  if (std::erase(order, backend) == 0) return;
  order.insert(to == MoveTo::front ? order.begin() : order.end(), backend);
}

void Selection::drop(std::string_view backend, const std::string& why) {
  if (std::erase(decision_.priority, backend) > 0) decision_.dropped.push_back({backend, why});
}

void Selection::drop_vendor(KernelVendor vendor, const std::string& why) {
  for (const OracleBackend& backend : family_.backends) {
    if (backend.vendor == vendor) drop(backend.name, why);
  }
}

std::optional<Refusal> Selection::ask(const OracleBackend& backend,
                                      const ExpertsClass& experts) const {
  return refusal_of(experts, question_for(backend));
}

bool Selection::try_one(const OracleBackend& backend) {
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

bool Selection::try_all(const std::vector<std::string_view>& backends) {
  return std::ranges::any_of(
      backends, [this](std::string_view name) { return try_one(backend_named(name)); });
}

const OracleBackend& Selection::in_format(std::string_view name) const {
  const OracleBackend& backend = backend_named(name);
  const bool has_twin =
      question_.format == ActivationFormat::batched_experts && !backend.batched_twin.empty();
  return has_twin ? backend_named(backend.batched_twin) : backend;
}

bool Selection::force(const OracleBackend& backend) {
  if (!try_one(backend)) refuse(backend);
  return true;
}

void Selection::refuse(const OracleBackend& backend) {
  std::string since;
  if (!decision_.trace.empty()) {
    since = text(" since ", reason_text(*decision_.trace.back().refusal,
                                        question_for(*decision_.trace.back().backend)));
  }
  raise(OracleError::value_error,
        text(family_.title, " backend ", backend.shown(),
             " does not support the deployment configuration", since, "."));
}

SupportQuestion Selection::question_for(const OracleBackend& backend) const {
  SupportQuestion question = question_;
  question.activation = key_of(backend).value_or(question.activation);
  return question;
}

std::optional<QuantKey> Selection::key_of(const OracleBackend& backend) const {
  return backend.activation_key ? backend.activation_key : family_.activation_key;
}

bool Selection::is_filtered(const OracleBackend& backend) const {
  const QuantKey asked = asked_.deployment.quant.activation;
  const bool filters = family_.filters_by_activation &&
                       family_.filters_by_activation->covers(asked_.profile) &&
                       asked != QuantKey::none;
  return filters && !backend.takes_any_key && key_of(backend) != asked;
}

void Selection::apply_drops() {
  for (const DropRule& rule : family_.drops) {
    if (!rule.eras.covers(asked_.profile) || !rule.when(asked_)) continue;
    for (const std::string_view backend : rule.backends) drop(backend, std::string(rule.why));
  }
  for (const OracleBackend& backend : family_.backends) {
    if (!backend.eras.covers(asked_.profile) || !is_filtered(backend)) continue;
    drop(backend.name,
         text("the deployment's activation key is ", name_of(asked_.deployment.quant.activation)));
  }
}

void Selection::end() {
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
  const bool lists = family_.end_lists_reasons && family_.end_lists_reasons->covers(asked_.profile);
  const auto reason_of = [this](const Candidate& one) {
    return reason_text(*one.refusal, question_for(*one.backend));
  };
  for (const Candidate& one : decision_.trace) {
    if (lists) words += text(" ", one.backend->name, ": ", reason_of(one), ";");
  }
  if (end.says_last_reason) words += text(": ", reason_of(decision_.trace.back()), ".");
  raise(end.error, words);
}

}  // namespace oracle_steps

ExpertsDecision select_experts_backend(const Profile& profile, const ExpertsDeployment& deployment,
                                       const OracleSources& sources) {
  MOE_CHECK(has_oracles(profile), text("no oracles are described for ", profile.name));
  MOE_CHECK(deployment.quant.eras.covers(profile),
            text("no oracle of ", profile.name, " is asked about ", deployment.quant.name));
  return oracle_steps::Selection(profile, deployment, sources).decide();
}

}  // namespace moe
