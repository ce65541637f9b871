// What late 2026 has beside the seven oracles and their changes (experts-and-oracles.md, 7.5 and
// 7.6, [H]): the generic mxfp4 oracle, 4-bit weights under 8-bit rows, and the activation key that
// filters mxfp4's backends.

#include "tests/catch.h"
#include "tests/unit/backends/oracle_deployments.h"

using namespace moe;
using namespace moe::oracle_tests;

namespace {

const std::string late = "late-2026";

std::string late_answer(const ExpertsDeployment& deployment) { return answer(late, deployment); }

ExpertsDecision late_decision(const ExpertsDeployment& deployment) {
  return select_experts_backend(profile_named(late), deployment);
}

// DeepSeek-V4: silu with a limit, mxfp4 experts.
ExpertsDeployment generic_on(ExpertsDeployment deployment) {
  deployment = with_quant(std::move(deployment), "mxfp4_generic");
  deployment.has_swiglu_limit = true;
  return deployment;
}

ExpertsDeployment gpt_oss_on(ExpertsDeployment deployment, std::string_view quant = "mxfp4") {
  deployment = with_quant(std::move(deployment), quant);
  deployment.activation = MoEActivation::swigluoai;
  return deployment;
}

ExpertsDeployment on_gfx950() {
  ExpertsDeployment deployment = on_mi300();
  deployment.capability = {9, 5};
  deployment.environment.set("VLLM_ROCM_USE_AITER", "1");
  return deployment;
}

}  // namespace

TEST_CASE("generic mxfp4 oracle: TRTLLM with mxfp8 rows, DeepGEMM, Marlin, its batched form") {
  CHECK(late_answer(generic_on(on_b200())) ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(late_answer(with_ep(generic_on(on_b200()), 4, "deepep_high_throughput")) ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 TrtLlmMxfp4ExpertsModular");
  ExpertsDeployment without = generic_on(on_b200());
  without.libraries = without.libraries.without({Library::flashinfer_trtllm});
  CHECK(late_answer(without) == "DEEPGEMM_MXFP4 DeepGemmFP4Experts");
  without.libraries = {};
  CHECK(late_answer(without) == "MARLIN MarlinExperts");
  for (const auto& deployment : {on_h100(), on_a100(), on_cuda(12), on_cuda(7, 5)}) {
    CHECK(late_answer(generic_on(deployment)) == "MARLIN MarlinExperts");
  }
  for (const auto* batched : {"deepep_low_latency", "nixl_ep"}) {
    CHECK(late_answer(with_ep(generic_on(on_b200()), 4, batched)) ==
          "BATCHED_MARLIN BatchedMarlinExperts");
  }
  CHECK(joined(late_decision(generic_on(on_h100())).priority, " ") ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 DEEPGEMM_MXFP4 MARLIN BATCHED_MARLIN");
  CHECK(select_mxfp4_generic(profile_named(late), generic_on(on_h100())).backend->name == "MARLIN");
}

TEST_CASE("generic mxfp4 oracle: where nothing can, every candidate and its reason") {
  const std::string said = late_answer(generic_on(on(OraclePlatform::xpu)));
  CHECK(said.starts_with("NotImplementedError: No MXFP4 MoE backend supports the deployment"));
  for (const auto* reason :
       {"FLASHINFER_TRTLLM_MXFP4_MXFP8: kernel does not support current device xpu;",
        "DEEPGEMM_MXFP4: kernel does not", "MARLIN: kernel", "BATCHED_MARLIN: kernel"}) {
    CHECK(said.find(reason) != std::string::npos);
  }
  CHECK(late_answer(generic_on(on_mi300())).starts_with("NotImplementedError"));
  CHECK(late_answer(generic_on(on_gfx950())) == "AITER_BF16 AiterExperts");
}

TEST_CASE("generic mxfp4 oracle: a word stands for a vendor's backends, the first that can") {
  const auto asked = [](ExpertsDeployment deployment, std::string_view word) {
    return late_answer(with_backend(generic_on(std::move(deployment)), word));
  };
  CHECK(asked(on_b200(), "flashinfer_trtllm") ==
        "FLASHINFER_TRTLLM_MXFP4_BF16 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(asked(on_cuda(12), "flashinfer_cutlass") ==
        "FLASHINFER_CUTLASS_MXFP4_MXFP8 FlashInferExperts");
  CHECK(asked(on_h100(), "flashinfer_cutlass") ==
        "FLASHINFER_CUTLASS_MXFP4_BF16 FlashInferExperts");
  CHECK(asked(on_b200(), "deep_gemm") == "DEEPGEMM_MXFP4 DeepGemmFP4Experts");
  CHECK(asked(on_h100(), "deep_gemm") ==
        "ValueError: MXFP4 MoE backend DEEPGEMM_MXFP4 does not support the deployment "
        "configuration since kernel does not support current device cuda.");
  CHECK(asked(on_h100(), "cutlass").find("Expected one of ['deep_gemm'") != std::string::npos);
}

TEST_CASE("mxfp4 oracle: late 2026 filters by the activation key that a deployment asks for") {
  CHECK(late_answer(gpt_oss_on(on_b200())) ==
        "FLASHINFER_TRTLLM_MXFP4_BF16 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(late_answer(gpt_oss_on(on_b200(), "mxfp4_mxfp8")) ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 TrtLlmMxfp4ExpertsMonolithic");
  // No key asked for: both kinds are in the list, and SM120 has CUTLASS with mxfp8 rows alone.
  CHECK(late_answer(gpt_oss_on(on_cuda(12))) == "FLASHINFER_CUTLASS_MXFP4_MXFP8 FlashInferExperts");
  CHECK(joined(late_decision(gpt_oss_on(on_b200())).priority, " ") ==
        "FLASHINFER_TRTLLM_MXFP4_BF16 FLASHINFER_TRTLLM_MXFP4_MXFP8 AITER_BF16 AITER_FP8 "
        "AITER_MXFP4 TRITON FLASHINFER_CUTLASS_MXFP4_BF16 FLASHINFER_CUTLASS_MXFP4_MXFP8 MARLIN "
        "BATCHED_MARLIN XPU EMULATION");
  const ExpertsDecision filtered = late_decision(gpt_oss_on(on_b200(), "mxfp4_mxfp8"));
  CHECK(joined(filtered.priority, " ") ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 FLASHINFER_CUTLASS_MXFP4_MXFP8 EMULATION");
  CHECK(filtered.dropped.front().why == "the deployment's activation key is kMxfp8Dynamic");
  ExpertsDeployment rocm = gpt_oss_on(on_gfx950(), "mxfp4_mxfp4");
  rocm.environment = {};
  CHECK(late_answer(rocm) == "EMULATION OCP_MXQuantizationEmulationTritonExperts");
}

TEST_CASE("mxfp4 oracle: late 2026's words of moe_backend are filtered too") {
  const auto asked = [](ExpertsDeployment deployment, std::string_view quant,
                        std::string_view word) {
    return late_answer(with_backend(gpt_oss_on(std::move(deployment), quant), word));
  };
  CHECK(asked(on_b200(), "mxfp4_mxfp8", "flashinfer_trtllm") ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(asked(on_gfx950(), "mxfp4_fp8", "aiter") == "AITER_FP8 AiterExperts");
  CHECK(asked(on_gfx950(), "mxfp4_mxfp4", "aiter") == "AITER_MXFP4 AiterExperts");
  CHECK(asked(on_gfx950(), "mxfp4", "aiter") == "AITER_BF16 AiterExperts");
  CHECK(asked(on_h100(), "mxfp4_mxfp8", "marlin") ==
        "ValueError: moe_backend='marlin' does not support activation=kMxfp8Dynamic");
  CHECK(asked(on_h100(), "mxfp4_mxfp8", "emulation") ==
        "EMULATION OCP_MXQuantizationEmulationTritonExperts");
}

TEST_CASE("w4a8 oracle: CUTLASS and nothing else, whatever moe_backend says") {
  const auto w4a8 = [](ExpertsDeployment deployment) {
    return with_quant(std::move(deployment), "w4a8");
  };
  CHECK(late_answer(w4a8(on_h100())) == "CUTLASS CutlassExpertsW4A8Fp8");
  CHECK(late_answer(with_backend(w4a8(on_h100()), "marlin")) == "CUTLASS CutlassExpertsW4A8Fp8");
  const std::string refused =
      "NotImplementedError: W4A8 MoE backend CUTLASS does not support the "
      "deployment configuration: kernel does not support ";
  CHECK(late_answer(w4a8(on_a100())) == refused + "current device cuda.");
  CHECK(late_answer(w4a8(on(OraclePlatform::cpu))) == refused + "current device cpu.");
  ExpertsDeployment odd = w4a8(on_h100());
  odd.hidden_size = 2880;
  CHECK(late_answer(odd) == refused + "hidden dim 2880.");
  odd = w4a8(on_h100());
  odd.intermediate_size = 1408;
  CHECK(late_answer(odd) == refused + "intermediate size 1408.");
  CHECK(late_answer(with_ep(w4a8(on_h100()), 4, "deepep_low_latency")) ==
        refused + "batched_experts activation format.");
  CHECK(select_w4a8(profile_named(late), w4a8(on_h100())).experts->expert_map);
}

TEST_CASE("w4a8 int8 oracle: the CPU's, nowhere else asked") {
  const auto w4a8 = [](ExpertsDeployment deployment) {
    return with_quant(std::move(deployment), "w4a8_int8");
  };
  const ExpertsDeployment cpu = w4a8(on(OraclePlatform::cpu));
  CHECK(late_answer(cpu) == "CPU_INT4 CPUExpertsInt4W4A8");
  CHECK(select_w4a8_int8(profile_named(late), cpu).is_monolithic());
  for (const auto& deployment : {on_h100(), on_mi300(), on(OraclePlatform::xpu)}) {
    CHECK(late_answer(w4a8(deployment)) ==
          "NotImplementedError: W4A8 Int8 MoE is only supported on CPU platforms");
  }
  CHECK(late_answer(with_backend(cpu, "triton")) ==
        "ValueError: moe_backend='triton' is not supported for W4A8 Int8 MoE. Expected one of "
        "['cpu'].");
  CHECK(late_answer(with_ep(cpu, 4, "allgather_reducescatter")) ==
        "NotImplementedError: No W4A8 Int8 MoE backend supports the deployment configuration.");
}

TEST_CASE("late oracles: no earlier profile is asked about their quantisations") {
  std::vector<std::string_view> come;
  for (const QuantScheme& scheme : all_quant_schemes()) {
    const bool is_there = scheme.eras.covers(profile_named(default_profile));
    if (!is_there) come.push_back(scheme.name);
    CHECK(scheme.eras.covers(profile_named(late)));
  }
  CHECK(joined(come, " ") == "mxfp4_fp8 mxfp4_mxfp4 mxfp4_generic w4a8 w4a8_int8");
  CHECK_THROWS_AS(answer(with_quant(on_h100(), "w4a8")), ContractError);
  CHECK(quant_schemes_in(profile_named(late)).size() == all_quant_schemes().size());
}
