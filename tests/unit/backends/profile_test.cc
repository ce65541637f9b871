// Which backend a name stands for under every profile and platform, with its warnings, and the
// words of refusals. Expected decisions are written out, not computed.

#include "backends/profile.h"

#include <algorithm>

#include "kernels/base/text.h"
#include "tests/catch.h"

using namespace moe;

namespace {

// "backend, n warnings", or "error".
std::string decided(std::string_view profile, std::string_view name,
                    Platform platform = Platform::cuda) {
  const BackendDecision decision = resolve_backend(profile_named(profile), {name, platform});
  if (!decision.error.empty()) return "error";
  return text(decision.backend, ", ", decision.warnings.size());
}

std::vector<std::string> over_profiles(std::string_view name, Platform platform = Platform::cuda) {
  std::vector<std::string> all;
  for (const Profile& profile : all_profiles())
    all.push_back(decided(profile.name, name, platform));
  return all;
}

// An answer repeated as often as neighbouring profiles give it.
struct Run {
  int times;
  std::string answer;
};
std::vector<std::string> runs(const std::vector<Run>& list) {
  std::vector<std::string> all;
  for (const Run& run : list)
    all.insert(all.end(), static_cast<std::size_t>(run.times), run.answer);
  return all;
}

}  // namespace

TEST_CASE("profiles: the nine of the history, in its order") {
  std::vector<std::string_view> names;
  for (const Profile& profile : all_profiles()) names.push_back(profile.name);
  CHECK(names == std::vector<std::string_view>{"v0.9", "pre-33724", "post-33724", "post-36294",
                                               "post-36286", "post-39107", "post-33728",
                                               "post-40412", "late-2026"});
}

TEST_CASE("profiles: what every historical name stands for on CUDA") {
  const std::string fallback = "allgather_reducescatter, 1";
  CHECK(over_profiles("naive") == runs({{3, "naive, 0"}, {6, fallback}}));
  CHECK(over_profiles("pplx") == runs({{2, "pplx, 0"}, {7, fallback}}));
  CHECK(over_profiles("allgather_reducescatter") ==
        runs({{1, "error"}, {8, "allgather_reducescatter, 0"}}));
  CHECK(over_profiles("deepep_high_throughput") == runs({{9, "deepep_high_throughput, 0"}}));
  CHECK(over_profiles("deepep_low_latency") == runs({{9, "deepep_low_latency, 0"}}));
  CHECK(over_profiles("deepep_v2") == runs({{8, "error"}, {1, "deepep_v2, 0"}}));
  CHECK(over_profiles("nixl_ep") == runs({{2, "error"}, {7, "nixl_ep, 0"}}));
  CHECK(over_profiles("mori") == runs({{9, "error"}}));
  CHECK(over_profiles("mori_low_latency") == runs({{9, "error"}}));
  CHECK(over_profiles("flashinfer_all2allv") ==
        runs({{1, "error"}, {2, "flashinfer_all2allv, 0"}, {6, "flashinfer_nvlink_two_sided, 1"}}));
  CHECK(over_profiles("flashinfer_nvlink_one_sided") ==
        runs({{3, "error"}, {6, "flashinfer_nvlink_one_sided, 0"}}));
  CHECK(over_profiles("no_ep") == runs({{9, "no_ep, 0"}}));
  CHECK(over_profiles("nonesuch") == runs({{9, "error"}}));
}

TEST_CASE("profiles: a platform's communicator speaks after the configuration") {
  CHECK(over_profiles("naive", Platform::cpu) ==
        runs({{3, "naive, 0"}, {3, "naive, 2"}, {3, "error"}}));
  CHECK(over_profiles("allgather_reducescatter", Platform::cpu) ==
        runs({{1, "error"}, {5, "naive, 1"}, {3, "error"}}));
  CHECK(over_profiles("deepep_low_latency", Platform::cpu) ==
        runs({{6, "naive, 1"}, {3, "error"}}));
  CHECK(over_profiles("no_ep", Platform::cpu) == runs({{9, "no_ep, 0"}}));
  CHECK(over_profiles("naive", Platform::xpu) ==
        runs({{1, "error"}, {8, "allgather_reducescatter, 1"}}));
  CHECK(over_profiles("deepep_low_latency", Platform::xpu) ==
        runs({{1, "error"}, {8, "allgather_reducescatter, 1"}}));
  CHECK(over_profiles("naive", Platform::rocm) == over_profiles("naive"));
}

TEST_CASE("profiles: ROCm has MoRI, CUDA the other libraries, and neither falls back") {
  CHECK(over_profiles("mori", Platform::rocm) ==
        runs({{1, "error"}, {7, "mori, 0"}, {1, "error"}}));
  CHECK(over_profiles("mori_low_latency", Platform::rocm) ==
        runs({{8, "error"}, {1, "mori_low_latency, 0"}}));
  for (const char* name : {"deepep_high_throughput", "deepep_low_latency", "deepep_v2", "nixl_ep",
                           "flashinfer_nvlink_two_sided", "flashinfer_nvlink_one_sided"}) {
    INFO(name);
    CHECK(over_profiles(name, Platform::rocm) == runs({{9, "error"}}));
    CHECK(platform_with(name) == Platform::cuda);
  }
  CHECK(over_profiles("pplx", Platform::rocm) ==
        runs({{2, "error"}, {7, "allgather_reducescatter, 1"}}));
  CHECK(platform_with("mori") == Platform::rocm);
  const BackendDecision mori = resolve_backend(profile_named("late-2026"), {"mori_low_latency"});
  CHECK(mori.error ==
        "platform cuda under profile late-2026 has no mori_low_latency: MoRI, which needs AITER's "
        "fused MoE (V14), is there on rocm only; it takes allgather_reducescatter, "
        "deepep_high_throughput, deepep_low_latency, deepep_v2, nixl_ep, "
        "flashinfer_nvlink_two_sided, flashinfer_nvlink_one_sided");
}

TEST_CASE("profiles: where no rows move between DP ranks no platform refuses a backend") {
  const BackendDecision decision = resolve_backend(
      profile_named("post-33728"), {"allgather_reducescatter", Platform::cpu, false});
  CHECK(decision.backend == "allgather_reducescatter");
  CHECK(decision.warnings.empty());
  CHECK(decision.error == "");
}

TEST_CASE("profiles: warnings and errors say what, why and what instead") {
  const BackendDecision naive = resolve_backend(profile_named("post-36294"), {"naive"});
  CHECK(naive.warnings == std::vector<std::string>{"all2all_backend naive was removed by #36294, "
                                                   "falling back to allgather_reducescatter"});
  CHECK(naive.trace.size() == 2);
  const BackendDecision cpu =
      resolve_backend(profile_named("post-33728"), {"naive", Platform::cpu});
  CHECK_THAT(cpu.error, Catch::Contains("platform cpu under profile post-33728") &&
                            Catch::Contains("no all_gatherv") && Catch::Contains("#57837"));
  CHECK(cpu.backend == "");
  const BackendDecision unknown = resolve_backend(profile_named("v0.9"), {"nixl_ep"});
  CHECK(unknown.error ==
        "backend nixl_ep does not exist under profile v0.9; it has naive, pplx, "
        "deepep_high_throughput, deepep_low_latency");
}

TEST_CASE("profiles: the broadcast form and its defect") {
  const std::vector<std::string> defect = {"naive-dp-tp"};
  CHECK(naive_form_of(profile_named("v0.9"), {}) == NaiveForm::dp_group);
  CHECK(naive_form_of(profile_named("v0.9"), defect) == NaiveForm::dp_group);
  CHECK(naive_form_of(profile_named("pre-33724"), {}) == NaiveForm::ep_group);
  CHECK(naive_form_of(profile_named("pre-33724"), defect) == NaiveForm::ep_group_as_shipped);
  for (const Profile& profile : all_profiles()) {
    const bool has_it = profile.naive_form == NaiveForm::ep_group;
    CHECK((std::ranges::count(profile.defects, "naive-dp-tp") > 0) == has_it);
    CHECK((std::ranges::count(profile.defects, "xpu-world-group") > 0) ==
          (profile.name == "pre-33724"));
    for (const std::string_view name : profile.defects) {
      CHECK(std::ranges::count(all_defects(), name, &Defect::name) == 1);
    }
  }
}

TEST_CASE("profiles: a backend is run under the default profile, or the last that has it") {
  CHECK(profile_with("allgather_reducescatter").name == "post-40412");
  CHECK(profile_with("naive").name == "post-33724");
  CHECK(profile_with("pplx").name == "pre-33724");
  CHECK(profile_with("deepep_v2").name == "late-2026");
}
