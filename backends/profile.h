// Profile: which vLLM behaviour is in force (distribution-layer.md, 17). Everything a profile
// decides is data of the tables in profile.cc; what asks for a backend by name asks here what it
// gets. Pure data and functions: nothing is built, nobody's environment is read.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/placement/replica_maps.h"

namespace moe {

// Whose rules apply, wherever the run itself is.
enum class Platform { cuda, rocm, cpu, xpu };
std::string_view name_of(Platform platform);
// REQUIRES a word that name_of gives.
Platform platform_named(std::string_view word);

// How the legacy broadcast manager moves rows. dp_group: over the DP group. ep_group: over the EP
// group, each slice from a rank that holds it. ep_group_as_shipped: with the defect naive-dp-tp.
enum class NaiveForm { dp_group, ep_group, ep_group_as_shipped };

// A known defect of vLLM that can be reproduced on purpose.
struct Defect {
  std::string_view name;
  std::string_view upstream;
  std::string_view does;
};
std::span<const Defect> all_defects();

struct Profile {
  std::string_view name;
  std::string_view about;
  std::optional<NaiveForm> naive_form;  // none: the manager is gone
  std::vector<std::string_view> defects = {};
  bool has_sequence_parallel = true;
  ReplicaChoice replica_choice = ReplicaChoice::by_position;
};

constexpr std::string_view default_profile = "post-40412";

// ORDER: as vLLM's history.
std::span<const Profile> all_profiles();
// REQUIRES a profile's name.
const Profile& profile_named(std::string_view name);

// The default profile where it has the backend, else the last one that has it, by its own name.
const Profile& profile_with(std::string_view backend);

// CUDA where it has the backend's library, else the platform that does.
Platform platform_with(std::string_view backend);

// Every name of a backend that any profile knows, once.
std::vector<std::string_view> all_backend_names();
// The backend of the registry that a name stands for: itself, but for historic names.
std::string_view emulation_of(std::string_view name);
// Those that stand for a backend in the profile, and those that it replaces.
std::vector<std::string_view> backends_in(const Profile& profile);
struct Replacement {
  std::string_view name;
  std::string_view replaced_by;
};
std::vector<Replacement> replacements_in(const Profile& profile);
// What a platform does with other backends than its own, in words; empty where it takes them all.
std::string platform_rule_text(const Profile& profile, Platform platform);

struct BackendRequest {
  std::string_view name;
  Platform platform = Platform::cuda;
  bool between_ranks = true;  // false: one DP rank, so that no manager is asked to move rows
};

// What a request gets. trace: every rule that was held against it, in order.
struct BackendDecision {
  std::string backend;  // empty where error says why there is none
  std::vector<std::string> warnings;
  std::string error;
  std::vector<std::string> trace;
};
BackendDecision resolve_backend(const Profile& profile, const BackendRequest& request);

// The broadcast form of a profile with these defects reproduced.
NaiveForm naive_form_of(const Profile& profile, std::span<const std::string> defects);

}  // namespace moe
