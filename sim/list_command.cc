// moebius list: what exists, what this build lacks, and why. Every list comes from the table that
// the program itself uses; nothing is listed twice.

#include <algorithm>
#include <iostream>

#include "kernels/base/text.h"
#include "sim/check_ledger.h"
#include "sim/commands.h"
#include "sim/faults.h"
#include "sim/registry.h"
#include "sim/report.h"
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

std::vector<Item> backends() {
  std::vector<Item> items;
  for (const RegistryRow& row : registry()) {
    items.push_back({std::string(row.name), about_backend(row), ""});
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
  return {{"cpu", "host memory, oneDNN products", ""},
          {"cuda", "NVIDIA GPUs", "not in this build (the CUDA path is not written yet)"},
          {"xpu", "OpenCL", "not in this build (the XPU path is not written yet)"}};
}

// A profile's names: those that run here, those that vLLM had and that are not emulated yet.
std::string about_backends(const Profile& profile) {
  std::vector<std::string> built;
  std::vector<std::string> others;
  for (const std::string_view name : backends_in(profile)) {
    const bool is_built = std::ranges::count(registry(), name, &RegistryRow::name) > 0;
    (is_built ? built : others).emplace_back(name);
  }
  return text("backends: ", joined(built), "; not emulated yet: ", joined(others));
}

std::string about_profile(const Profile& profile) {
  std::string about = text(profile.about, "; ", about_backends(profile));
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

std::vector<Item> items_of(const std::string& what, const DataFolders& folders) {
  if (what == "backends") return backends();
  if (what == "communicators") return communicators();
  if (what == "devices") return devices();
  if (what == "profiles") return profiles();
  if (what == "checks") return checks();
  if (what == "faults") return faults();
  return scenarios(folders);
}

}  // namespace

int list_command(const ListCommand& command, const Surroundings& surroundings) {
  JsonLines json(command.report.json);
  for (const Item& item : items_of(command.what, surroundings.folders)) {
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
