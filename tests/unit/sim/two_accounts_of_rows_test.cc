// Two accounts of the same thing: which quantised rows a backend takes according to what `moebius
// run` asks (Capabilities, and the factory's refusal that it warns of) and according to what
// `moebius oracle` answers (some experts class on some device, and the kernel pair). Where they
// differ a row below says why; a row that no difference needs is an error too.

#include <algorithm>
#include <set>

#include "backends/config/backend_traits.h"
#include "backends/config/validation.h"
#include "backends/oracle/kernel_pair.h"
#include "backends/oracle/quant_keys.h"
#include "kernels/base/text.h"
#include "sim/backend_choice.h"
#include "sim/quantization_choice.h"
#include "sim/registry.h"
#include "tests/catch.h"

using namespace moe;

namespace {

// backend, scheme: "" is any.
struct NamedDifference {
  std::string_view backend;
  std::string_view scheme;
  bool run_takes = false;
  std::string_view why;
  EraSpan eras = {};
};

constexpr EraSpan until_late{Era::post_36294, Era::post_40412};
constexpr EraSpan before_40412{Era::post_36294, Era::post_33728};
constexpr EraSpan late{Era::late_2026, Era::late_2026};

constexpr std::string_view own_scales =
    "a scale over all rows of a rank is not one of the rows that it gets: refused as vLLM #54683 "
    "asks for, which no vLLM does yet";
constexpr std::string_view no_oracle =
    "vLLM has a method of its own for mxfp4 rows and weights, CutlassExpertsMxfp4 is in no oracle "
    "(experts-and-oracles.md, 6.2)";

constexpr std::string_view no_batched =
    "bf16 rows become codes after receipt, which any experts may do; vLLM has no batched class for "
    "mxfp4 rows";
constexpr std::string_view scaled_one_by_one =
    "the transport sends them (distribution-layer.md, 10, its kinds UNVERIFIED), and no experts "
    "class that stands behind FlashInfer takes them (experts-and-oracles.md, 6.2)";
constexpr std::string_view aiter_alone =
    "AITER of late 2026 computes it, MoRI sends bf16 and fp8 (distribution-layer.md, 9.6 and 10)";

constexpr std::array differences = {
    NamedDifference{"allgather_reducescatter", "fp8_dynamic", false, own_scales},
    NamedDifference{"mori", "fp8_dynamic", false, own_scales},
    NamedDifference{"mori_high_throughput", "fp8_dynamic", false, own_scales},
    NamedDifference{"mori_low_latency", "fp8_dynamic", false, own_scales},
    NamedDifference{"", "mxfp4", true, no_oracle, until_late},
    NamedDifference{"deepep_low_latency", "mxfp4", true, no_batched, late},
    NamedDifference{"nixl_ep", "mxfp4", true, no_batched, late},
    NamedDifference{"flashinfer_nvlink_two_sided", "fp8_per_token", true, scaled_one_by_one},
    NamedDifference{
        "flashinfer_nvlink_two_sided", "mxfp8", false,
        "TRTLLM of late 2026 takes it behind any transport (UNVERIFIED), which only the "
        "one-sided one can send (distribution-layer.md, 10)",
        late},
    NamedDifference{"mori_high_throughput", "mxfp8", false, aiter_alone, late},
    NamedDifference{"mori_low_latency", "mxfp8", false, aiter_alone, late},
    NamedDifference{"mori_high_throughput", "mxfp4", false, aiter_alone, late},
    NamedDifference{"mori_low_latency", "mxfp4", false, aiter_alone, late},
    NamedDifference{"nixl_ep", "", true,
                    "NIXL was no batched backend before #40412, so that experts of the other "
                    "format were chosen; the transport is emulated as it is since",
                    before_40412},
};

const Backend* emulated(std::string_view name) {
  for (const sim::RegistryRow& row : sim::registry()) {
    if (row.name == emulation_of(name) && row.since != "-") return row.backend;
  }
  return nullptr;
}

bool capabilities_take(std::string_view name, const QuantizationScheme& scheme) {
  const Capabilities& capabilities = emulated(name)->capabilities;
  const WireQuestion question{.num_ranks = 4,
                              .hidden_size = 4096,
                              .top_k = 2,
                              .num_experts = 8,
                              .max_num_tokens = 256,
                              .quantization = scheme.activations,
                              .weights_alone = scheme.activations == QuantRecipe::none
                                                   ? scheme.weights
                                                   : QuantRecipe::none};
  return refusal_of(capabilities, question).empty();
}

bool run_warns(const Profile& profile, std::string_view name, const QuantizationScheme& scheme) {
  const auto* moves = prepare_finalize_class_of(profile, traits_of(name).transport);
  return moves != nullptr &&
         !rows_refusal(*moves, activation_key_of(scheme.activations).value()).empty();
}

// Whether rows move there as they are asked to.
bool is_moved_on(const Profile& profile, std::string_view name, OraclePlatform platform) {
  const auto decision = resolve_backend(profile, {name, platform_named(name_of(platform))});
  return decision.error.empty() && decision.backend == name;
}

// Every machine with vLLM's usual libraries: what a user installs beside (Humming) would compute
// more under late-2026.
std::vector<ExpertsDeployment> machines() {
  std::vector<ExpertsDeployment> made;
  const auto add = [&](OraclePlatform platform, DeviceCapability capability) {
    ExpertsDeployment one{.platform = platform,
                          .capability = capability,
                          .libraries = usual_libraries(platform),
                          .allow_vllm_cutlass = true};
    if (platform == OraclePlatform::rocm) one.environment.set("VLLM_ROCM_USE_AITER", "1");
    made.push_back(one);
    if (platform != OraclePlatform::rocm) return;
    one.environment = {};
    made.push_back(one);
  };
  for (const int major : {8, 9, 10, 11, 12}) add(OraclePlatform::cuda, {major, 0});
  for (const int minor : {4, 5}) add(OraclePlatform::rocm, {9, minor});
  add(OraclePlatform::xpu, {});
  add(OraclePlatform::cpu, {});
  return made;
}

bool is_kernel(const Profile& profile, const ExpertsDeployment& deployment) {
  const ExpertsDecision decision = select_experts_backend(profile, deployment);
  if (decision.experts == nullptr) return false;
  const ExpertsClass& experts = *decision.experts;
  const ParallelTraits parallel = parallel_traits_of(profile, deployment);
  KernelOptions options = right_options(experts);
  options.activation = question_of(profile, deployment, decision, *decision.backend).activation;
  options.ep_size = parallel.ep_size;
  options.dp_size = parallel.dp_size;
  const auto* moves = prepare_finalize_class_of(profile, deployment, experts.is_monolithic);
  return !refusal_of(moves, experts, options).has_value();
}

// Whether some machine has a kernel for it, by itself or by a word of moe_backend.
bool oracle_takes(const Profile& profile, std::string_view name, const QuantScheme& scheme) {
  if (!scheme.eras.covers(profile)) return false;
  for (ExpertsDeployment deployment : machines()) {
    if (!is_moved_on(profile, name, deployment.platform)) continue;
    deployment.quant = scheme;
    if (name != "no_ep") {
      deployment.sizes.dp = 4;
      deployment.enable_expert_parallel = true;
      deployment.all2all_backend = name;
    }
    for (const auto activation : {MoEActivation::silu, MoEActivation::swigluoai}) {
      deployment.activation = activation;
      for (const std::string_view word : moe_backend_words(profile)) {
        deployment.moe_backend = word;
        if (is_kernel(profile, deployment)) return true;
      }
    }
  }
  return false;
}

std::vector<std::string_view> names_in(const Profile& profile) {
  std::vector<std::string_view> names;
  for (const std::string_view name : backends_in(profile)) {
    if (emulated(name) != nullptr) names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("quantisation schemes: every one is a pair of keys that an oracle knows") {
  std::set<std::string_view> reached;
  for (const QuantizationScheme& scheme : quant_schemes) {
    INFO(scheme.name);
    const QuantScheme* row = oracle_scheme_of(scheme);
    REQUIRE(row != nullptr);
    CHECK(row->weight == weight_key_of(scheme.weights));
    CHECK(row->activation == activation_key_of(scheme.activations));
    reached.insert(row->name);
  }
  CHECK(oracle_scheme_of(quant_scheme_named("fp8_block128_deepep"))->name == "fp8_block128");
  CHECK(oracle_scheme_of(quant_scheme_named("mxfp4_w4a16"))->name == "mxfp4");
  CHECK(oracle_scheme_of(quant_scheme_named("int4_w4a16"))->name == "int4_a16");
  // Those that no scenario has: pairs of keys without kernels here.
  std::vector<std::string_view> unreached;
  for (const QuantScheme& scheme : all_quant_schemes()) {
    if (!reached.contains(scheme.name)) unreached.push_back(scheme.name);
  }
  CHECK(joined(unreached, " ") ==
        "fp8_tensor_token fp8_block128_a16 fp8_tensor_a16 mxfp4_mxfp8 mxfp4_fp8 mxfp4_generic w4a8 "
        "w4a8_int8");
}

TEST_CASE("quantisation schemes: what a transport carries vLLM's last factory takes") {
  const Profile& profile = profile_named("late-2026");
  for (const std::string_view name : names_in(profile)) {
    for (const QuantizationScheme& scheme : quant_schemes) {
      INFO(name << " " << scheme.name);
      if (capabilities_take(name, scheme)) CHECK_FALSE(run_warns(profile, name, scheme));
    }
  }
}

TEST_CASE("quantisation schemes: run and oracle take the same rows, but for what is named") {
  std::set<const NamedDifference*> needed;
  int num_asked = 0;
  for (const std::string_view profile_name : oracle_profiles()) {
    const Profile& profile = profile_named(profile_name);
    for (const std::string_view name : names_in(profile)) {
      for (const QuantizationScheme& scheme : quant_schemes) {
        ++num_asked;
        const bool run = capabilities_take(name, scheme) && !run_warns(profile, name, scheme);
        const bool oracle = oracle_takes(profile, name, *oracle_scheme_of(scheme));
        if (run == oracle) continue;
        const auto* row = std::ranges::find_if(differences, [&](const NamedDifference& one) {
          return (one.backend.empty() || one.backend == name) && one.run_takes == run &&
                 (one.scheme.empty() || one.scheme == scheme.name) && one.eras.covers(profile);
        });
        INFO(profile.name << ", " << name << ", " << scheme.name << ": run " << run << ", oracle "
                          << oracle);
        CHECK(row != differences.end());
        if (row != differences.end()) needed.insert(row);
      }
    }
  }
  CHECK(num_asked > 500);
  for (const NamedDifference& row : differences) {
    INFO(row.backend << " " << row.scheme << ": " << row.why);
    CHECK(needed.contains(&row));
  }
}

TEST_CASE("row quantisation: a library's own codes have their scales by column, made late, too") {
  sim::Scenario scenario;
  scenario.model.quantization = quant_scheme_named("fp8_block128");
  const auto in_rooms = [&](std::string_view name, bool is_late) {
    const RowQuantization contract =
        sim::row_quantization(scenario, sim::emulated_backend(name)->capabilities, true);
    const std::vector<sim::FaultSpec> faults = {{.name = "MF-13"}};
    return sim::quantization_done(contract, is_late ? faults : std::vector<sim::FaultSpec>{})
        .scales_by_column_in_rooms;
  };
  for (const bool is_late : {false, true}) {
    CHECK(in_rooms("deepep_low_latency", is_late));
    CHECK_FALSE(in_rooms("allgather_reducescatter", is_late));
  }
}
