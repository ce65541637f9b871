// Validation of a deployment by vLLM's configuration, rule by rule with its number V1 to V16
// (distribution-layer.md, 6.2). Pure: a profile and a deployment in, findings out.

#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/config/deployment_config.h"
#include "backends/config/era.h"

namespace moe {

enum class FindingKind { error, warning, info };
std::string_view name_of(FindingKind kind);

struct ConfigRule {
  std::string_view id;
  FindingKind kind = FindingKind::error;
  EraSpan eras = {};
  std::string_view upstream = {};  // where vLLM says it
  std::string_view says = {};      // the rule
  // What breaks it, with its values; empty: nothing does.
  std::string (*broken_by)(const Profile& profile, const DeploymentConfig& config) = nullptr;
};

// ORDER: by number. A number with several rows has one for each thing that it forbids.
std::span<const ConfigRule> all_config_rules();

// The name that the configuration goes on with: a removed one's replacement, else itself. LIFETIME:
// as the name's or the table's.
std::string_view configured_backend(const Profile& profile, std::string_view name);

struct ConfigFinding {
  std::string_view rule;
  FindingKind kind = FindingKind::error;
  std::string text;  // "V8: pcp 2 and dp 2: …"
};

// V1 looks at the name as it was given, the other rules at the one that it stands for.
// REQUIRES a backend that some profile knows. ORDER: as the rules.
std::vector<ConfigFinding> validate(const Profile& profile, const DeploymentConfig& config);

}  // namespace moe
