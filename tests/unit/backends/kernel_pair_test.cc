// Every prepare/finalize with every experts class, against kernel_pairs.golden: what goes together
// and for which reason the rest is refused; then the options that are wrong for a right pair.
// `moe_tests_unit_backends "kernel pairs: writes its golden"` writes the golden anew.

#include "backends/oracle/kernel_pair.h"

#include <fstream>
#include <map>

#include "tests/catch.h"
#include "tests/unit/backends/oracle_deployments.h"

using namespace moe;
using namespace moe::oracle_tests;

namespace {

const std::string golden_path = MOE_SOURCE_DIR "/tests/unit/backends/kernel_pairs.golden";

const ExpertsClass& experts_named(std::string_view name) {
  const auto* row = find_experts_class(all_experts_classes(), profile_named(default_profile), name);
  REQUIRE(row != nullptr);
  return *row;
}

const PrepareFinalizeClass& moving(std::string_view name,
                                   std::string_view profile = default_profile) {
  for (const PrepareFinalizeClass& row : all_prepare_finalize_classes()) {
    if (row.name == name && row.eras.covers(profile_named(profile))) return row;
  }
  throw ContractError(text("no prepare/finalize ", name));
}

// A sentence with the names of the two taken out, so that equal reasons are equal words.
std::string reason_without_names(std::string words, std::string_view moves,
                                 std::string_view experts) {
  for (const auto& [name, place] :
       {std::pair{moves, "PREPARE_FINALIZE"}, std::pair{experts, "EXPERTS"}}) {
    for (auto at = words.find(name); at != std::string::npos; at = words.find(name)) {
      words.replace(at, name.size(), place);
    }
  }
  return words;
}

std::vector<std::string> table() {
  const Profile& profile = profile_named(default_profile);
  std::map<std::string, std::vector<std::string_view>> lines_of;
  for (const PrepareFinalizeClass& moves : all_prepare_finalize_classes()) {
    if (!moves.eras.covers(profile)) continue;
    std::map<std::string, std::vector<std::string_view>> by_reason;
    for (const ExpertsClass& experts : all_experts_classes()) {
      if (!experts.eras.covers(profile)) continue;
      KernelOptions options = right_options(experts);
      options.ep_size = options.dp_size = moves.transport == Transport::none ? 1 : 2;
      options.activation = QuantKey::nvfp4_dynamic;
      const auto refusal = refusal_of(&moves, experts, options);
      by_reason[refusal ? reason_without_names(refusal->text, moves.name, experts.name) : "takes"]
          .push_back(experts.name);
    }
    for (const auto& [reason, names] : by_reason) {
      lines_of[text(reason, ": ", joined(names))].push_back(moves.name);
    }
  }
  std::vector<std::string> lines;
  for (const auto& [said, movers] : lines_of) lines.push_back(text(joined(movers), ": ", said));
  return lines;
}

std::string refused_for(const PrepareFinalizeClass& moves, const ExpertsClass& experts,
                        const KernelOptions& options) {
  const auto refusal = refusal_of(&moves, experts, options);
  return refusal ? text(name_of(refusal->rule), " ", refusal->text) : "";
}

}  // namespace

TEST_CASE("kernel pairs: every wrong pair is refused for the reason of the golden") {
  std::vector<std::string> golden;
  std::ifstream file(golden_path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("#")) golden.push_back(line);
  }
  CHECK(table() == golden);
}

TEST_CASE("kernel pairs: writes its golden", "[.]") {
  std::ofstream file(golden_path);
  file
      << "# Every prepare/finalize with every experts class of post-40412: what it takes, what is\n"
         "# refused and why. Read against experts-and-oracles.md, 5 and 6.2.\n";
  for (const std::string& line : table()) file << line << "\n";
}

TEST_CASE("kernel pairs: sizes belong to the batched format and to no other") {
  const auto& low_latency = moving("DeepEPLLPrepareAndFinalize");
  const auto& batched = experts_named("BatchedTritonExperts");
  CHECK(refused_for(low_latency, batched, right_options(batched)) == "");
  CHECK(refused_for(low_latency, batched, {}).starts_with("sizes_of_format ValueError: Batched"));
  KernelOptions half = right_options(batched);
  half.num_dispatchers = {};
  CHECK(refused_for(low_latency, batched, half).starts_with("sizes_of_format"));
  const auto& standard = experts_named("TritonExperts");
  const auto& naive = moving("MoEPrepareAndFinalizeNaiveDPEPModular");
  CHECK(refused_for(naive, standard, {}) == "");
  KernelOptions with_sizes;
  with_sizes.max_num_tokens = 256;
  CHECK(refused_for(naive, standard, with_sizes).find("must not be given") != std::string::npos);
}

TEST_CASE("kernel pairs: shared experts run inside where it is asynchronous, never monolithic") {
  const KernelOptions shared{.shared_experts_inside = true};
  const auto& triton = experts_named("TritonExperts");
  CHECK(refused_for(moving("DeepEPHTPrepareAndFinalize"), triton, shared) == "");
  CHECK(refused_for(moving("MoEPrepareAndFinalizeNaiveDPEPModular"), triton, shared)
            .starts_with("shared_experts AssertionError: MoEPrepareAndFinalizeNaiveDPEPModular"));
  const auto& monolithic = experts_named("TrtLlmBf16Experts");
  const auto& logits = moving("MoEPrepareAndFinalizeNoDPEPMonolithic");
  CHECK(refused_for(logits, monolithic, {}) == "");
  CHECK(refused_for(logits, monolithic, shared)
            .starts_with("shared_experts AssertionError: TrtLlmBf16Experts is monolithic"));
  CHECK(refused_for(logits, monolithic, {.in_place = true}).starts_with("in_place"));
  CHECK(refused_for(moving("MoEPrepareAndFinalizeNoDPEPModular"), triton, {.in_place = true}) ==
        "");
}

TEST_CASE("kernel pairs: uneven or dealt experts need a map and a transport that counts") {
  const KernelOptions uneven{.num_experts = 10, .ep_size = 4};
  const auto& naive = moving("MoEPrepareAndFinalizeNaiveDPEPModular");
  CHECK(refused_for(naive, experts_named("TritonExperts"), uneven) == "");
  CHECK(refused_for(naive, experts_named("FlashInferExperts"), uneven)
            .starts_with("even_experts ValueError: 10 experts on 4 ranks"));
  CHECK(refused_for(moving("MoriPrepareAndFinalize"), experts_named("AiterExperts"), uneven)
            .starts_with("even_experts"));
  const KernelOptions dealt{.ep_size = 4, .is_linear = false};
  CHECK(refused_for(naive, experts_named("FlashInferExperts"), dealt)
            .starts_with("linear_experts ValueError: FlashInferExperts"));
  CHECK(refused_for(naive, experts_named("TritonExperts"), dealt) == "");
}

TEST_CASE("kernel pairs: what a class refuses of transports it refuses here too") {
  const auto& triton = experts_named("TritonOrCutlassExperts");
  CHECK(refused_for(moving("DeepEPHTPrepareAndFinalize"), triton, {.ep_size = 2}) ==
        "parallel_config ValueError: kernel does not support parallel config (CutlassExpertsFp8 "
        "wants no DeepEP high throughput)");
  const auto& trtllm = experts_named("TrtLlmFp8ExpertsModular");
  const auto& naive = moving("MoEPrepareAndFinalizeNaiveDPEPModular");
  CHECK(refused_for(naive, trtllm, {.ep_size = 2}) == "");
  CHECK(refused_for(naive, trtllm, {.ep_size = 2, .enable_eplb = true}).find("no EPLB") !=
        std::string::npos);
  CHECK(refused_for(moving("MoriPrepareAndFinalize"), trtllm, {.ep_size = 2})
            .find("no all2all but AG/RS") != std::string::npos);
}

TEST_CASE("kernel pairs: MoRI goes with AITER's experts and with no others") {
  const auto& mori = moving("MoriPrepareAndFinalize");
  CHECK(refused_for(mori, experts_named("AiterExperts"), {.ep_size = 2}) == "");
  for (const auto name : {"TritonExperts", "MarlinExperts", "FlashInferExperts", "XPUExperts"}) {
    CHECK(refused_for(mori, experts_named(name), {.ep_size = 2}) ==
          text("aiter_experts AssertionError: MoriPrepareAndFinalize goes with AITER's experts "
               "only (VLLM_ROCM_USE_AITER=1), not with ",
               name));
  }
}

TEST_CASE("kernel pairs: FlashInfer's one-sided transport carries nvfp4 rows, later three more") {
  const std::string name = "FlashInferNVLinkOneSidedPrepareAndFinalize";
  const auto& experts = experts_named("FlashInferExperts");
  const auto carries = [&](std::string_view profile, QuantKey key) {
    const std::string said =
        refused_for(moving(name, profile), experts, {.activation = key, .ep_size = 2});
    CHECK((said.empty() || said.starts_with("rows_carried ")));
    return said.empty();
  };
  using enum QuantKey;
  for (const auto profile : {"post-36294", "post-40412", "late-2026"}) {
    const bool is_late = profile == std::string("late-2026");
    CHECK(carries(profile, nvfp4_dynamic));
    for (const QuantKey key : {none, mxfp8_dynamic, fp8_dynamic_128}) {
      CHECK(carries(profile, key) == is_late);
    }
    for (const QuantKey key : {fp8_static_tensor, fp8_dynamic_token, int8_dynamic_token}) {
      CHECK_FALSE(carries(profile, key));
    }
  }
  CHECK(rows_refusal(moving(name), none) ==
        "ValueError: " + name + " carries kNvfp4Dynamic rows only, not None (#39717)");
  CHECK(rows_refusal(moving(name, "late-2026"), fp8_static_tensor)
            .starts_with("NotImplementedError: " + name + " carries None, kNvfp4Dynamic, "));
}

TEST_CASE("kernel pairs: the factory's class for each layout") {
  const Profile& profile = profile_named(default_profile);
  const auto made = [&](const ExpertsDeployment& deployment, bool is_monolithic) -> std::string {
    const auto* row = prepare_finalize_class_of(profile, deployment, is_monolithic);
    return row == nullptr ? "none" : std::string(row->name);
  };
  CHECK(made(on_h100(), false) == "MoEPrepareAndFinalizeNoDPEPModular");
  CHECK(made(on_h100(), true) == "MoEPrepareAndFinalizeNoDPEPMonolithic");
  ExpertsDeployment dp = on_h100();
  dp.sizes.dp = 2;
  CHECK(made(dp, false) == "MoEPrepareAndFinalizeNaiveDPEPModular");
  CHECK(made(with_ep(on_h100(), 2, "naive"), false) == "MoEPrepareAndFinalizeNaiveDPEPModular");
  CHECK(made(with_ep(on_h100(), 2, "deepep_low_latency"), false) == "DeepEPLLPrepareAndFinalize");
  CHECK(made(with_ep(on_h100(), 2, "nixl_ep"), false) == "NixlEPPrepareAndFinalize");
  CHECK(made(with_ep(on_h100(), 2, "mori"), false) == "MoriPrepareAndFinalize");
  CHECK(made(with_ep(on_h100(), 2, "deepep_high_throughput"), true) == "none");
  const auto refusal = refusal_of(nullptr, experts_named("TrtLlmBf16Experts"), {});
  CHECK(refusal->rule == PairRule::no_prepare_finalize);
}
