// Three tables: profiles, names of backends with the profiles that have them, rules of platforms.
// A decision walks them in vLLM's order: configuration first, then the platform's communicator.

#include "backends/profile.h"

#include <algorithm>
#include <array>

#include "backends/config/era.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using enum Era;

constexpr std::string_view naive_dp_tp = "naive-dp-tp";
constexpr std::string_view xpu_world_group = "xpu-world-group";

// Whose library moves the rows, and the one platform with dispatches of its own that has it
// (distribution-layer.md, 9.11). It is vLLM's import or assertion that fails elsewhere, in every
// profile: CUDA's and ROCm's communicators fall back to nothing.
struct Library {
  std::string_view name;
  Platform platform = Platform::cuda;
};
constexpr Library any_library = {};
constexpr Library nvshmem = {"pplx"};
constexpr Library deepep = {"DeepEP"};
constexpr Library nixl = {"NIXL EP"};
constexpr Library flashinfer = {"FlashInfer"};
constexpr Library mori = {"MoRI, which needs AITER's fused MoE (V14),", Platform::rocm};

// The profiles from first to last have the backend; later ones put replaced_by in its place, or do
// not know the name any more.
struct BackendName {
  std::string_view name;
  Era first = v0_9;
  Era last = late_2026;
  std::string_view replaced_by = {};
  std::string_view why = {};          // of the replacement
  bool is_option = true;              // a word of vLLM's all2all_backend, which rules may replace
  std::string_view emulated_by = {};  // of the registry, where that has another name
  Library library = any_library;
};

constexpr BackendName of(const Library& library, BackendName row) {
  row.library = library;
  return row;
}

constexpr std::array names = {
    BackendName{"no_ep", v0_9, late_2026, {}, {}, false},
    BackendName{"skeleton", v0_9, late_2026, {}, {}, false},
    BackendName{"allgather_reducescatter", pre_33724, late_2026},
    BackendName{"naive", v0_9, post_33724, "allgather_reducescatter", "was removed by #36294"},
    of(nvshmem, {"pplx", v0_9, pre_33724, "allgather_reducescatter", "was removed by #33724"}),
    of(deepep, {"deepep_high_throughput"}),
    of(deepep, {"deepep_low_latency"}),
    of(deepep, {"deepep_v2", late_2026, late_2026}),
    of(nixl, {"nixl_ep", post_33724, late_2026}),
    BackendName{.name = "mori",
                .first = pre_33724,
                .last = post_40412,
                .emulated_by = "mori_high_throughput",
                .library = mori},
    of(mori, {"mori_high_throughput", late_2026, late_2026}),
    of(mori, {"mori_low_latency", late_2026, late_2026}),
    BackendName{.name = "flashinfer_all2allv",
                .first = pre_33724,
                .last = post_33724,
                .replaced_by = "flashinfer_nvlink_two_sided",
                .why = "is a deprecated name",
                .emulated_by = "flashinfer_nvlink_two_sided",
                .library = flashinfer},
    of(flashinfer, {"flashinfer_nvlink_two_sided", post_36294, late_2026}),
    of(flashinfer, {"flashinfer_nvlink_one_sided", post_36294, late_2026}),
};

// What a platform's communicator does with every backend but its own. With an error no backend at
// all can move rows there.
struct PlatformRule {
  Platform platform;
  Era first = v0_9;
  Era last = late_2026;
  std::string_view falls_back_to;
  std::string_view error = {};
};

constexpr std::array rules = {
    PlatformRule{Platform::cpu, v0_9, post_39107, "naive"},
    PlatformRule{Platform::cpu, post_33728, late_2026, "allgather_reducescatter",
                 "the CPU communicator has no all_gatherv and no reduce_scatterv: not implemented "
                 "since #33728 took its broadcast manager away (#57837)"},
    PlatformRule{Platform::xpu, v0_9, v0_9, "",
                 "the XPU communicator has no dispatch and no combine yet (#25465)"},
    PlatformRule{Platform::xpu, pre_33724, late_2026, "allgather_reducescatter"},
};

template <typename Row>
bool covers(const Row& row, const Profile& profile) {
  return EraSpan{row.first, row.last}.covers(profile);
}

const BackendName* find_name(std::string_view name) {
  const auto* row = std::ranges::find(names, name, &BackendName::name);
  return row == names.end() ? nullptr : row;
}

bool is_replaced_in(const BackendName& row, const Profile& profile) {
  return !row.replaced_by.empty() && era_of(profile) > row.last;
}

const PlatformRule* rule_of(Platform platform, const Profile& profile) {
  for (const PlatformRule& rule : rules) {
    if (rule.platform == platform && covers(rule, profile)) return &rule;
  }
  return nullptr;
}

void refuse(const Profile& profile, std::string_view name, BackendDecision& decision) {
  decision.error = text("backend ", name, " does not exist under profile ", profile.name,
                        "; it has ", joined(backends_in(profile)));
  decision.trace.push_back(decision.error);
}

void fall_back(std::string_view to, const std::string& warning, BackendDecision& decision) {
  decision.backend = to;
  decision.warnings.push_back(warning);
  decision.trace.push_back(warning);
}

// Where the platform's own communicator takes every name, its library must be there.
bool lacks_library(Platform platform, const Profile& profile, BackendDecision& decision) {
  const Library& library = find_name(decision.backend)->library;
  if (library.name.empty() || library.platform == platform) return false;
  std::vector<std::string_view> takes;
  for (const BackendName& row : names) {
    const bool is_there = row.library.name.empty() || row.library.platform == platform;
    if (row.is_option && covers(row, profile) && is_there) takes.push_back(row.name);
  }
  decision.error = text("platform ", name_of(platform), " under profile ", profile.name, " has no ",
                        decision.backend, ": ", library.name, " is there on ",
                        name_of(library.platform), " only; it takes ", joined(takes));
  decision.trace.push_back(decision.error);
  decision.backend.clear();
  return true;
}

void apply_platform(const Profile& profile, const BackendRequest& request,
                    BackendDecision& decision) {
  if (!request.between_ranks) {
    decision.trace.push_back("one DP rank: no manager is asked, so that no platform refuses one");
    return;
  }
  const PlatformRule* rule = rule_of(request.platform, profile);
  if (rule == nullptr && lacks_library(request.platform, profile, decision)) return;
  if (rule == nullptr) {
    decision.trace.push_back(
        text("platform ", name_of(request.platform), " takes ", decision.backend));
    return;
  }
  if (!rule->falls_back_to.empty() && decision.backend != rule->falls_back_to) {
    fall_back(rule->falls_back_to,
              text("all2all_backend ", decision.backend, " is not supported on platform ",
                   name_of(request.platform), ", falling back to ", rule->falls_back_to),
              decision);
  }
  if (rule->error.empty()) return;
  decision.error = text("platform ", name_of(request.platform), " under profile ", profile.name,
                        ": ", rule->error);
  decision.trace.push_back(decision.error);
  decision.backend.clear();
}

}  // namespace

std::string_view name_of(Platform platform) {
  constexpr std::array<std::string_view, 4> words = {"cuda", "rocm", "cpu", "xpu"};
  return words[static_cast<std::size_t>(platform)];
}

Platform platform_named(std::string_view word) {
  for (const auto platform : {Platform::cuda, Platform::rocm, Platform::cpu, Platform::xpu}) {
    if (name_of(platform) == word) return platform;
  }
  throw ContractError(text("no platform is called ", word));
}

std::span<const Defect> all_defects() {
  static constexpr std::array defects = {
      Defect{naive_dp_tp, "#28189, #32705",
             "the broadcast manager sends the slice of DP rank i from EP rank i and sums over EP "
             "before the sum over TP: with tp above 1 and no sequence parallelism later DP ranks "
             "get wrong rows, and contributions count tp times"},
      Defect{xpu_world_group, "03fe6ec",
             "on platform xpu gathers and reduce-scatters are called without their group: where it "
             "is not the whole world, or all sizes are equal, torch gets a list of another length "
             "than the world has ranks; and its dispatch takes no scales beside quantised rows"},
  };
  return defects;
}

std::span<const Profile> all_profiles() {
  static const std::vector<std::string_view> with_defect = {naive_dp_tp};
  // UNVERIFIED: the last profile of the first XPU communicator; #32654 of January 2026 used it.
  static const std::vector<std::string_view> with_both = {naive_dp_tp, xpu_world_group};
  static const std::array profiles = {
      Profile{"v0.9", "P0, mid 2025", NaiveForm::dp_group, {}, false},
      Profile{"pre-33724", "P1, late 2025 to January 2026", NaiveForm::ep_group, with_both},
      Profile{"post-33724", "P2, pplx removed, February 2026", NaiveForm::ep_group, with_defect},
      Profile{"post-36294", "P3, the option naive removed, March 2026", NaiveForm::ep_group,
              with_defect},
      Profile{"post-36286", "P3 with the full unquantised oracle, April 2026", NaiveForm::ep_group,
              with_defect},
      Profile{"post-39107", "P4, DP chunking removed, April 2026", NaiveForm::ep_group,
              with_defect},
      Profile{"post-33728", "P5, the naive manager removed, April 2026", std::nullopt},
      Profile{"post-40412", "P6, NIXL EP batched, April 2026; the default", std::nullopt},
      Profile{.name = "late-2026",
              .about = "P7, DeepEP V2, MoRI split in two, replicas by hash (#40810)",
              .naive_form = std::nullopt,
              .replica_choice = ReplicaChoice::by_token_hash},
  };
  return profiles;
}

const Profile& profile_named(std::string_view name) {
  const auto profiles = all_profiles();
  const auto found = std::ranges::find(profiles, name, &Profile::name);
  MOE_CHECK(found != profiles.end(), text("no profile is called ", name));
  return *found;
}

const Profile& profile_with(std::string_view backend) {
  const BackendName* row = find_name(backend);
  MOE_CHECK(row != nullptr, text("no profile knows a backend ", backend));
  const Profile& usual = profile_named(default_profile);
  return covers(*row, usual) ? usual : all_profiles()[static_cast<std::size_t>(row->last)];
}

Platform platform_with(std::string_view backend) {
  const BackendName* row = find_name(backend);
  MOE_CHECK(row != nullptr, text("no profile knows a backend ", backend));
  return row->library.platform;
}

std::vector<std::string_view> all_backend_names() {
  std::vector<std::string_view> all;
  for (const BackendName& row : names) all.push_back(row.name);
  return all;
}

std::string_view emulation_of(std::string_view name) {
  const BackendName* row = find_name(name);
  return row == nullptr || row->emulated_by.empty() ? name : row->emulated_by;
}

std::vector<std::string_view> backends_in(const Profile& profile) {
  std::vector<std::string_view> there;
  for (const BackendName& row : names) {
    if (row.is_option && covers(row, profile)) there.push_back(row.name);
  }
  return there;
}

std::vector<Replacement> replacements_in(const Profile& profile) {
  std::vector<Replacement> replaced;
  for (const BackendName& row : names) {
    if (is_replaced_in(row, profile)) replaced.push_back({row.name, row.replaced_by});
  }
  return replaced;
}

std::string platform_rule_text(const Profile& profile, Platform platform) {
  const PlatformRule* rule = rule_of(platform, profile);
  if (rule == nullptr) return "";
  return rule->error.empty() ? text("others fall back to ", rule->falls_back_to)
                             : std::string(rule->error);
}

BackendDecision resolve_backend(const Profile& profile, const BackendRequest& request) {
  BackendDecision decision;
  const BackendName* row = find_name(request.name);
  const bool is_known = row != nullptr && (covers(*row, profile) || is_replaced_in(*row, profile));
  if (!is_known) {
    refuse(profile, request.name, decision);
    return decision;
  }
  decision.backend = row->name;
  if (!row->is_option) {
    decision.trace.push_back(text(row->name, " is no all2all_backend of vLLM: no rule applies"));
    return decision;
  }
  if (is_replaced_in(*row, profile)) {
    fall_back(
        row->replaced_by,
        text("all2all_backend ", row->name, " ", row->why, ", falling back to ", row->replaced_by),
        decision);
  } else {
    decision.trace.push_back(text("profile ", profile.name, " has ", row->name));
  }
  apply_platform(profile, request, decision);
  return decision;
}

NaiveForm naive_form_of(const Profile& profile, std::span<const std::string> defects) {
  const NaiveForm form = profile.naive_form.value_or(NaiveForm::ep_group);
  const bool is_shipped = std::ranges::find(defects, naive_dp_tp) != defects.end();
  return form == NaiveForm::ep_group && is_shipped ? NaiveForm::ep_group_as_shipped : form;
}

}  // namespace moe
