// moebius list: what exists, what this build lacks, and why. Every list comes from the table that
// the program itself uses; nothing is listed twice.

#include <algorithm>
#include <iostream>

#include "backends/config/backend_traits.h"
#include "backends/config/validation.h"
#include "backends/oracle/class_support.h"
#include "backends/oracle/faulty_oracle.h"
#include "backends/oracle/oracle_family.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/backends_page.h"
#include "sim/check_ledger.h"
#include "sim/commands.h"
#include "sim/faults.h"
#include "sim/registry.h"
#include "sim/report.h"
#include "sim/row_named.h"
#include "sim/scenario_reader.h"

namespace moe::sim {
namespace {

struct Item {
  std::string name;
  std::string about;
  std::string absence;  // empty: available
};

std::string about_backend(const RegistryRow& row) {
  const std::string since = row.since == "-" ? "not in vLLM" : text("vLLM since ", row.since);
  const std::string until = row.until.empty() ? "" : text(" until ", row.until);
  const std::string replaced = row.replaced_by.empty() ? "" : text(", now ", row.replaced_by);
  return text(row.wing == "legacy" ? "legacy; " : "", since, until, replaced);
}

bool is_built(std::string_view name) {
  return std::ranges::count(registry(), name, &RegistryRow::name) > 0;
}

// A name that vLLM had and that has no row: when, and what came in its place.
std::string about_unbuilt(std::string_view name) {
  std::vector<std::string_view> profiles;
  std::string replaced;
  for (const Profile& profile : all_profiles()) {
    const auto names = backends_in(profile);
    if (std::ranges::count(names, name) > 0) profiles.push_back(profile.name);
    const std::string_view now = configured_backend(profile, name);
    if (now != name) replaced = text(", then ", now);
  }
  const std::string_view first = profiles.front();
  const std::string_view last = profiles.back();
  return text(
      "known under profile", first == last ? " " : "s ", first,
      first == last ? "" : text(" to ", last), replaced,
      emulation_of(name) == name ? "; not emulated" : text("; emulated as ", emulation_of(name)));
}

std::vector<Item> backends() {
  std::vector<Item> items;
  for (const RegistryRow& row : registry()) {
    items.push_back({std::string(row.name), about_backend(row), ""});
  }
  for (const std::string_view name : all_backend_names()) {
    if (is_built(name)) continue;
    const bool is_older_name = is_built(emulation_of(name));
    Item item{std::string(name), "", ""};
    (is_older_name ? item.about : item.absence) = about_unbuilt(name);
    items.push_back(item);
  }
  for (const CallFormRow& row : call_forms()) {
    items.push_back({std::string(row.name),
                     text("a way to call layers; vLLM since ", row.since, " until ", row.until,
                          ", now ", row.replaced_by),
                     ""});
  }
  return items;
}

// What vLLM's rules know of a backend, beside its row.
std::string traits_text(const Profile& profile, const BackendTraits& traits) {
  std::vector<std::string> words;
  const auto add_if = [&words](bool holds, std::string_view word) {
    if (holds) words.emplace_back(word);
  };
  add_if(holds(traits.batched_format, profile), "batched experts");
  add_if(holds(traits.sequence_parallel, profile), "sequence parallel");
  add_if(holds(traits.micro_batches, profile), "micro-batches");
  add_if(holds(traits.dp_chunked, profile), "called in DP chunks");
  add_if(holds(traits.batched_dp, profile), "256 tokens by default");
  add_if(traits.needs_routing_tables, "routing tables");
  add_if(traits.needs_host_counts, "no CUDA graphs under DP");
  add_if(traits.carries_lora, "LoRA with EP");
  return joined(words);
}

// Every name that any profile knows, and what it stands for under this one.
std::vector<Item> backends_under(const std::string& word) {
  const Profile& profile = row_named("profile", all_profiles(), word);
  std::vector<Item> items;
  for (const std::string_view name : all_backend_names()) {
    const BackendDecision decision = resolve_backend(profile, {name, Platform::cuda});
    std::string absence = decision.error;
    const std::string_view emulated = emulation_of(decision.backend);
    if (absence.empty() && !is_built(emulated)) {
      absence = text(decision.backend, ": vLLM has it under profile ", profile.name,
                     ", it is not emulated yet");
    }
    std::vector<std::string> about = decision.warnings;
    if (about.empty() && absence.empty())
      about.push_back(emulated == name ? "there" : text("there, emulated as ", emulated));
    const std::string traits = absence.empty() || decision.error.empty()
                                   ? traits_text(profile, traits_of(decision.backend))
                                   : "";
    if (!traits.empty()) about.push_back(traits);
    items.push_back({std::string(name), joined(about, "; "), absence});
  }
  return items;
}

std::vector<Item> communicators() {
  std::vector<Item> items;
  for (const CommunicatorMaker& maker : communicator_makers()) {
    items.push_back({std::string(maker.name), std::string(maker.moves),
                     maker.make == nullptr ? maker.absence : ""});
  }
  return items;
}

std::vector<Item> devices() {
  std::vector<Item> items;
  for (const DeviceMaker& maker : device_makers()) {
    std::string about(maker.has);
    if (maker.which != nullptr && maker.absence().empty()) about += text(": ", maker.which());
    if (maker.absence().empty() && !maker.products_absence().empty()) {
      about += text("; experts with products need ", maker.products, ", which is ",
                    maker.products_absence());
    }
    items.push_back({std::string(name_of(maker.kind)), about, maker.absence()});
  }
  return items;
}

// A profile's names: those that run here, those that vLLM had and that are not emulated yet.
std::string about_backends(const Profile& profile) {
  std::vector<std::string> built;
  std::vector<std::string> others;
  for (const std::string_view name : backends_in(profile)) {
    (is_built(emulation_of(name)) ? built : others).emplace_back(name);
  }
  return text("backends: ", joined(built),
              others.empty() ? "" : text("; not emulated: ", joined(others)));
}

// Where the capacity of a rank comes from, and which names are called in chunks.
std::string about_capacity(const Profile& profile) {
  const auto chunked = backends_with(profile, &BackendTraits::dp_chunked);
  if (chunked.empty()) return "capacity from the scheduler's max_num_batched_tokens";
  return text("capacity VLLM_MOE_DP_CHUNK_SIZE (256), DP chunks for ", joined(chunked));
}

std::string about_profile(const Profile& profile) {
  std::string about = text(profile.about, "; default ", default_backend_of(profile), "; ",
                           about_backends(profile), "; ", about_capacity(profile));
  for (const Replacement& one : replacements_in(profile)) {
    about += text("; ", one.name, " falls back to ", one.replaced_by);
  }
  for (const auto platform : {Platform::cpu, Platform::xpu}) {
    const std::string rule = platform_rule_text(profile, platform);
    if (!rule.empty()) about += text("; on ", name_of(platform), ": ", rule);
  }
  if (!profile.has_sequence_parallel) about += "; no sequence-parallel MoE";
  for (const std::string_view name : profile.defects) {
    const auto defect = std::ranges::find(all_defects(), name, &Defect::name);
    about += text("; reproduces ", name, " (", defect->upstream, "): ", defect->does);
  }
  return about;
}

std::vector<Item> profiles() {
  std::vector<Item> items;
  for (const Profile& profile : all_profiles()) {
    items.push_back({std::string(profile.name), about_profile(profile), ""});
  }
  return items;
}

std::vector<Item> checks() {
  std::vector<Item> items = {
      {std::string(judge_check.name), std::string(judge_check.invariant), ""}};
  for (const CheckRow& row : all_checks()) {
    const bool always = row.only_where.empty();
    items.push_back({std::string(row.name),
                     text(row.invariant, always ? "" : text(" (", row.only_where, ")")), ""});
  }
  items.push_back({"ORACLE",
                   "an oracle answers every deployment and every request as its table does "
                   "(moebius oracle)",
                   ""});
  return items;
}

std::vector<Item> faults() {
  std::vector<Item> items;
  for (const FaultRow& row : all_faults()) {
    std::vector<std::string> parameters;
    for (const FaultParameter& parameter : row.parameters) {
      parameters.push_back(
          text(parameter.name, "=", parameter.default_value, " (", parameter.meaning, ")"));
    }
    const std::string has = parameters.empty() ? "none" : joined(parameters);
    items.push_back({std::string(row.name),
                     text(row.lie, "; caught by ", joined(row.killed_by), "; as in ", row.upstream,
                          "; parameters: ", has),
                     ""});
  }
  for (const OracleFaultRow& row : all_oracle_faults()) {
    items.push_back(
        {std::string(row.name),
         text(row.lie, "; not of a run: moebius oracle --fault ", row.example,
              "; caught by ORACLE; as in ", row.upstream, "; parameters: ", row.parameters),
         ""});
  }
  return items;
}

std::vector<Item> scenarios(const DataFolders& folders) {
  std::vector<Item> items;
  for (const auto& path : scenario_files({}, folders.scenarios)) {
    const Scenario scenario = read_scenario(path, folders.scenarios);
    items.push_back({scenario.name, text("[", joined(scenario.tags), "] ", scenario.why), ""});
  }
  return items;
}

// vLLM's experts classes in a profile, as rows of capabilities: nothing of them runs here.
std::vector<Item> experts(const std::string& word) {
  const auto described = oracle_profiles();
  const std::string name = word.empty() ? std::string(default_profile) : word;
  chosen("--profile", name, {described.begin(), described.end()});
  const Profile& profile = profile_named(name);
  std::vector<Item> items;
  for (const ExpertsClass& row : all_experts_classes()) {
    if (!row.eras.covers(profile)) continue;
    std::vector<std::string_view> oracles;
    for (const OracleFamily& family : all_oracle_families()) {
      const bool has_it = std::ranges::any_of(family.backends, [&](const OracleBackend& backend) {
        return backend.eras.covers(profile) && std::ranges::count(backend.classes, row.name) > 0;
      });
      if (has_it) oracles.push_back(name_of(family.name));
    }
    const std::string by = oracles.empty() ? "" : text("; oracles: ", joined(oracles));
    items.push_back(
        {std::string(row.name), capabilities_text(row) + by, std::string(row.not_wired)});
  }
  return items;
}

std::vector<Item> items_of(const ListCommand& command, const DataFolders& folders) {
  const std::string& what = command.what;
  if (!command.profile.empty() && what != "backends" && what != "experts") {
    throw ScenarioError(text("list ", what, ": --profile is for backends and experts"));
  }
  if (what == "backends")
    return command.profile.empty() ? backends() : backends_under(command.profile);
  if (what == "communicators") return communicators();
  if (what == "devices") return devices();
  if (what == "profiles") return profiles();
  if (what == "checks") return checks();
  if (what == "faults") return faults();
  if (what == "experts") return experts(command.profile);
  return scenarios(folders);
}

}  // namespace

int list_command(const ListCommand& command, const Surroundings& surroundings) {
  if (command.as_markdown) {
    if (command.what != "backends" || !command.profile.empty() || !command.report.json.empty()) {
      throw ScenarioError(
          "--markdown is the table of `list backends`, without --profile or --json");
    }
    std::cout << backends_table();
    return 0;
  }
  JsonLines json(command.report.json);
  for (const Item& item : items_of(command, surroundings.folders)) {
    const bool available = item.absence.empty();
    json.write(JsonObject{{"name", item.name},
                          {"available", available},
                          {"reason", available ? JsonValue(nullptr) : JsonValue(item.absence)},
                          {"about", item.about}});
    if (json.is_on_standard_output()) continue;
    std::cout << item.name << ": " << (available ? item.about : item.absence) << "\n";
  }
  json.finish();
  return 0;
}

}  // namespace moe::sim
