// moebius oracle: a decision with its trace, the cross product, or what two profiles answer
// differently, for people and as JSON. Everything said here is the oracles' (backends/oracle/).

#include <algorithm>
#include <iostream>

#include "backends/config/validation.h"
#include "backends/oracle/kernel_pair.h"
#include "backends/oracle/oracle_table.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/commands.h"
#include "sim/report.h"

namespace moe::sim {
namespace {

// An answer with what its words need. LIFETIME: as the query's.
struct Answer {
  const Profile& profile;
  const ExpertsDeployment& deployment;
  ExpertsDecision decision;
  const PrepareFinalizeClass* prepare_finalize = nullptr;
  std::string pair_refusal = {};  // why the two do not go together
  std::vector<std::string> notes = {};
};

bool has_platform_rules(OraclePlatform platform) {
  return platform != OraclePlatform::tpu && platform != OraclePlatform::out_of_tree;
}

// What vLLM's configuration says of the deployment, but for the words that it rewrites.
std::vector<std::string> config_notes(const OracleQuery& query) {
  const ExpertsDeployment& deployment = query.deployment;
  const OracleEnvironment& environment = deployment.environment;
  DeploymentConfig config{.all2all_backend = deployment.all2all_backend,
                          .sizes = deployment.sizes,
                          .enable_expert_parallel = deployment.enable_expert_parallel,
                          .enable_eplb = deployment.enable_eplb,
                          .enable_lora = deployment.enable_lora};
  if (!has_platform_rules(deployment.platform)) return {};
  config.platform = platform_named(name_of(deployment.platform));
  config.aiter_fused_moe = deployment.platform == OraclePlatform::rocm &&
                           environment.is_on("VLLM_ROCM_USE_AITER") &&
                           environment.is_on("VLLM_ROCM_USE_AITER_MOE");
  config.num_experts = query.num_experts.value_or(0);
  std::vector<std::string> notes;
  for (const ConfigFinding& finding : validate(profile_named(query.profile), config)) {
    if (finding.kind == FindingKind::info || finding.rule == "V1") continue;
    notes.push_back(text("configuration ", name_of(finding.kind), " ", finding.text));
  }
  return notes;
}

// What a backend's library says of the sizes when its buffers are made. Counts of experts that the
// query leaves open are such as it takes.
std::string library_note(const OracleQuery& query, const BackendDecision& decision, int ep_size) {
  const Backend* backend = emulated_backend(decision.backend);
  if (backend == nullptr) return "";
  const std::string refusal =
      refusal_of(backend->capabilities, {.num_ranks = ep_size,
                                         .hidden_size = query.deployment.hidden_size,
                                         .num_experts = query.num_experts.value_or(ep_size)});
  return refusal.empty() ? "" : text("rows do not move: ", decision.backend, " ", refusal);
}

// What the platform's communicator does with the backend where rows move between ranks.
std::vector<std::string> platform_notes(const OracleQuery& query, std::string_view configured) {
  const Profile& profile = profile_named(query.profile);
  const ParallelTraits parallel = parallel_traits_of(profile, query.deployment);
  const OraclePlatform platform = query.deployment.platform;
  const bool moves_rows = parallel.use_all2all_kernels || parallel.dp_size > 1;
  if (!moves_rows || !has_platform_rules(platform)) return {};
  const BackendDecision decision =
      resolve_backend(profile, {configured, platform_named(name_of(platform))});
  std::vector<std::string> notes = decision.warnings;
  if (!decision.error.empty()) {
    notes.push_back("rows do not move: " + decision.error);
  } else if (std::string note = library_note(query, decision, parallel.ep_size); !note.empty()) {
    notes.push_back(std::move(note));
  }
  return notes;
}

Answer answer_to(const OracleQuery& query) {
  const Profile& profile = profile_named(query.profile);
  Answer answer{profile, query.deployment, select_experts_backend(profile, query.deployment)};
  const ExpertsDecision& decision = answer.decision;
  answer.notes = notes_on(profile, query.deployment, decision);
  const std::string& asked = query.deployment.all2all_backend;
  const std::string_view configured = configured_backend(profile, asked);
  if (configured != asked) {
    answer.notes.push_back(text("all2all_backend ", asked, " is rewritten to ", configured));
  }
  for (const auto& more : {config_notes(query), platform_notes(query, configured)}) {
    answer.notes.insert(answer.notes.end(), more.begin(), more.end());
  }
  if (decision.experts == nullptr) return answer;
  const ExpertsClass& experts = *decision.experts;
  const ParallelTraits parallel = parallel_traits_of(profile, query.deployment);
  KernelOptions options = right_options(experts);
  options.activation =
      question_of(profile, query.deployment, decision, *decision.backend).activation;
  options.ep_size = parallel.ep_size;
  options.num_experts = query.num_experts.value_or(parallel.ep_size);
  options.dp_size = parallel.dp_size;
  options.enable_eplb = parallel.enable_eplb;
  answer.prepare_finalize =
      prepare_finalize_class_of(profile, query.deployment, experts.is_monolithic);
  if (const auto refusal = refusal_of(answer.prepare_finalize, experts, options)) {
    answer.pair_refusal = refusal->text;
  }
  return answer;
}

std::string libraries_text(LibrarySet libraries) {
  std::vector<std::string_view> names;
  for (const Library library : all_libraries()) {
    if (libraries.has(library)) names.push_back(name_of(library));
  }
  return names.empty() ? "no libraries" : joined(names);
}

std::string device_text(const ExpertsDeployment& deployment) {
  const bool has_capability = deployment.capability > DeviceCapability{};
  return text(name_of(deployment.platform), has_capability ? " " : "",
              has_capability ? capability_text(deployment.capability) : "", " with ",
              libraries_text(deployment.libraries));
}

std::string layout_text(const Answer& answer) {
  const ParallelTraits parallel = parallel_traits_of(answer.profile, answer.deployment);
  const ParallelSizes& sizes = answer.deployment.sizes;
  return text("DP ", sizes.dp, ", TP ", sizes.tp, sizes.pcp > 1 ? text(", PCP ", sizes.pcp) : "",
              ", EP ", parallel.ep_size, ", ",
              parallel.use_all2all_kernels
                  ? text("rows travel by ", answer.deployment.all2all_backend)
                  : "no all2all kernels",
              parallel.enable_eplb ? ", EPLB" : "");
}

std::string model_text(const Answer& answer) {
  const ExpertsDeployment& deployment = answer.deployment;
  return text("quant ", deployment.quant.name, ", ", name_of(deployment.activation),
              ", routing method ", name_of(routing_method_of(answer.profile, deployment)),
              ", router logits ", name_of(deployment.router_logits_dtype), ", hidden ",
              deployment.hidden_size, deployment.has_bias ? ", biases" : "",
              deployment.enable_lora ? ", LoRA" : "",
              deployment.batch_invariant ? ", batch invariant" : "");
}

std::string answer_text(const ExpertsDecision& decision) {
  if (decision.error != OracleError::none) {
    return text(name_of(decision.error), ": ", decision.error_text);
  }
  if (decision.experts == nullptr) return text(decision.backend->name, ", no experts class");
  return text(decision.backend->name, " with ", decision.experts->name, ", ",
              decision.is_monolithic() ? "monolithic" : "modular", ", ",
              name_of(decision.experts->format), " format",
              decision.is_unchecked ? ", without asking whether it can" : "");
}

std::string candidate_text(const Answer& answer, const Candidate& one) {
  if (!one.refusal) return "chosen";
  const SupportQuestion question =
      question_of(answer.profile, answer.deployment, answer.decision, *one.backend);
  const std::string takes = taken_text(*one.refusal, question);
  const std::string_view part = one.refusal->part->name;
  return text(reason_text(*one.refusal, question),
              takes.empty()
                  ? ""
                  : text(" (", part == one.experts->name ? "" : text(part, " "), takes, ")"));
}

// What the list still had when one was chosen.
std::vector<std::string_view> not_tried(const ExpertsDecision& decision) {
  std::vector<std::string_view> names;
  for (const std::string_view name : decision.priority) {
    const bool was_asked = std::ranges::any_of(
        decision.trace, [&](const Candidate& one) { return one.backend->name == name; });
    if (!was_asked) names.push_back(name);
  }
  return names;
}

void print_line(std::string_view label, std::string_view words) {
  std::cout << label << std::string(12 - label.size(), ' ') << words << "\n";
}

void print_why_not(const Answer& answer, const OracleQuery& query) {
  for (const std::string& name : query.why_not) {
    for (const std::string& why : why_not(answer.profile, answer.deployment, name)) {
      print_line("why not", why);
    }
  }
}

void print_answer(const Answer& answer, const OracleQuery& query) {
  const ExpertsDecision& decision = answer.decision;
  print_line("oracle", text(name_of(decision.family), ", profile ", answer.profile.name));
  print_line("device", device_text(answer.deployment));
  print_line("layout", layout_text(answer));
  print_line("model", model_text(answer));
  for (const std::string& rule : decision.rules) print_line("rule", rule);
  for (const DroppedBackend& one : decision.dropped) {
    print_line("dropped", text(one.backend, ": ", one.why));
  }
  for (const Candidate& one : decision.trace) {
    print_line(one.refusal ? "refused" : "taken",
               text(one.backend->name, ", ", one.experts->name, ": ", candidate_text(answer, one)));
  }
  const auto behind = not_tried(decision);
  if (!behind.empty()) print_line("not tried", joined(behind));
  print_line("answer", answer_text(decision));
  if (decision.experts != nullptr) {
    const std::string with =
        answer.prepare_finalize == nullptr ? "" : std::string(answer.prepare_finalize->name);
    const std::string why = answer.pair_refusal.empty() ? "" : "refused: " + answer.pair_refusal;
    print_line("kernel", text(with, !with.empty() && !why.empty() ? ", " : "", why));
  }
  for (const std::string& note : answer.notes) print_line("note", note);
  print_why_not(answer, query);
}

JsonValue name_or_null(const auto* row) {
  return row == nullptr ? JsonValue(nullptr) : JsonValue(row->name);
}

template <typename Words>
JsonArray array_of(const Words& words) {
  JsonArray array;
  for (const auto& word : words) array.emplace_back(word);
  return array;
}

JsonValue trace_json(const Answer& answer) {
  JsonArray trace;
  for (const Candidate& one : answer.decision.trace) {
    JsonValue refused_by(nullptr);
    JsonValue reason(nullptr);
    if (one.refusal) {
      refused_by = name_of(one.refusal->predicate);
      reason = candidate_text(answer, one);
    }
    trace.emplace_back(JsonObject{{"backend", one.backend->name},
                                  {"experts", one.experts->name},
                                  {"refused_by", refused_by},
                                  {"reason", reason}});
  }
  return trace;
}

JsonObject answer_json(const Answer& answer, const OracleQuery& query) {
  const ExpertsDecision& decision = answer.decision;
  JsonArray dropped;
  for (const DroppedBackend& one : decision.dropped) {
    dropped.emplace_back(JsonObject{{"backend", one.backend}, {"why", one.why}});
  }
  JsonArray answers;
  for (const std::string& name : query.why_not) {
    answers.emplace_back(JsonObject{
        {"name", name}, {"answers", array_of(why_not(answer.profile, answer.deployment, name))}});
  }
  const bool raises = decision.error != OracleError::none;
  return {{"oracle", name_of(decision.family)},
          {"profile", answer.profile.name},
          {"device", device_text(answer.deployment)},
          {"layout", layout_text(answer)},
          {"model", model_text(answer)},
          {"backend", name_or_null(decision.backend)},
          {"experts", name_or_null(decision.experts)},
          {"monolithic", decision.is_monolithic()},
          {"activation_format", name_of(decision.format)},
          {"unchecked", decision.is_unchecked},
          {"error", raises ? JsonValue(name_of(decision.error)) : JsonValue(nullptr)},
          {"error_text", raises ? JsonValue(decision.error_text) : JsonValue(nullptr)},
          {"prepare_finalize", name_or_null(answer.prepare_finalize)},
          {"pair_refusal",
           answer.pair_refusal.empty() ? JsonValue(nullptr) : JsonValue(answer.pair_refusal)},
          {"rules", array_of(decision.rules)},
          {"dropped", dropped},
          {"trace", trace_json(answer)},
          {"not_tried", array_of(not_tried(decision))},
          {"notes", array_of(answer.notes)},
          {"why_not", answers}};
}

void print_tree(const OracleTree& tree) {
  for (const std::string& line : tree.lines) std::cout << line << "\n";
  if (!tree.refusals.empty()) std::cout << "refused before, by number:\n";
  for (const std::string& line : tree.refusals) std::cout << line << "\n";
}

void tell_table(const OracleQuery& query, bool is_quiet, JsonLines& json) {
  const Profile& profile = profile_named(query.profile);
  for (const bool of_choices : {false, true}) {
    const OracleTree tree = of_choices ? choice_table(profile) : oracle_table(profile);
    json.write(JsonObject{{"profile", query.profile},
                          {"axes", of_choices ? "choices" : "deployments"},
                          {"cells", tree.num_shown},
                          {"lines", array_of(tree.lines)},
                          {"refusals", array_of(tree.refusals)}});
    if (json.is_on_standard_output()) continue;
    if (!is_quiet) print_tree(tree);
    std::cout << tree.num_shown << (of_choices ? " choices change an answer" : " deployments")
              << " under " << query.profile << "\n";
  }
}

void tell_difference(const OracleQuery& query, bool is_quiet, JsonLines& json) {
  const Profile& from = profile_named(query.diff_from);
  const Profile& to = profile_named(query.diff_to);
  for (const bool of_choices : {false, true}) {
    const OracleTree tree = oracle_difference(from, to, of_choices ? choice_axes() : oracle_axes());
    json.write(JsonObject{{"from", query.diff_from},
                          {"to", query.diff_to},
                          {"axes", of_choices ? "choices" : "deployments"},
                          {"cells", tree.num_cells},
                          {"flipped", tree.num_shown},
                          {"lines", array_of(tree.lines)}});
    if (json.is_on_standard_output()) continue;
    if (!is_quiet) print_tree(tree);
    std::cout << tree.num_shown << " of " << tree.num_cells
              << (of_choices ? " choices" : " deployments") << " are answered otherwise ("
              << query.diff_from << " => " << query.diff_to << ")\n";
  }
}

}  // namespace

int oracle_command(const OracleCommand& command) {
  const OracleQuery& query = command.query;
  if (!query.fault.name.empty()) return oracle_fault_command(command);
  JsonLines json(command.report.json);
  if (query.all) {
    tell_table(query, command.report.quiet, json);
  } else if (!query.diff_from.empty()) {
    tell_difference(query, command.report.quiet, json);
  } else {
    const Answer answer = answer_to(query);
    json.write(answer_json(answer, query));
    if (!json.is_on_standard_output()) {
      if (command.report.quiet) {
        std::cout << answer_text(answer.decision) << "\n";
        print_why_not(answer, query);
      } else {
        print_answer(answer, query);
      }
    }
  }
  json.finish();
  return 0;
}

}  // namespace moe::sim
