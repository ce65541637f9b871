// The worked outcomes of the oracles with 4-bit numbers (experts-and-oracles.md, 7.4, 7.5).
// Others are experts_oracle_test.cc.

#include "tests/catch.h"
#include "tests/unit/backends/oracle_deployments.h"

using namespace moe;
using namespace moe::oracle_tests;

namespace {

ExpertsDeployment nvfp4_on(ExpertsDeployment deployment) {
  return with_quant(std::move(deployment), "nvfp4");
}

// gpt-oss.
ExpertsDeployment mxfp4_on(ExpertsDeployment deployment) {
  deployment = with_quant(std::move(deployment), "mxfp4");
  deployment.activation = MoEActivation::swigluoai;
  deployment.hidden_size = 2880;
  deployment.intermediate_size = 2880;
  return deployment;
}

}  // namespace

TEST_CASE("nvfp4 oracle: SM100's kernels first, Marlin on Hopper and Ampere, emulation elsewhere") {
  CHECK(answer(nvfp4_on(on_b200())) == "FLASHINFER_TRTLLM TrtLlmNvFp4ExpertsMonolithic");
  CHECK(answer(nvfp4_on(on_cuda(12))) == "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(answer(nvfp4_on(on_h100())) == "MARLIN MarlinExperts");
  CHECK(answer(nvfp4_on(on_a100())) == "MARLIN MarlinExperts");
  CHECK(answer(nvfp4_on(on_mi300())) == "EMULATION Nvfp4QuantizationEmulationTritonExperts");
  CHECK(answer(nvfp4_on(on(OraclePlatform::xpu))) ==
        "EMULATION Nvfp4QuantizationEmulationTritonExperts");
  // Both of the fallbacks refuse FlashInfer's NVLink.
  const ExpertsDeployment nvlink = with_ep(nvfp4_on(on_h100()), 4, "flashinfer_nvlink_one_sided");
  CHECK(answer(nvlink) ==
        "NotImplementedError: No NvFp4 MoE backend supports the deployment configuration.");
}

TEST_CASE("nvfp4 oracle: monolithic without all2all only, CUTLASS without EP only") {
  CHECK(answer(with_ep(nvfp4_on(on_b200()), 4, "allgather_reducescatter")) ==
        "FLASHINFER_TRTLLM TrtLlmNvFp4ExpertsModular");
  ExpertsDeployment deployment = nvfp4_on(on_b200());
  CHECK(answer(with_backend(deployment, "cutlass")) == "VLLM_CUTLASS CutlassExpertsFp4");
  CHECK(answer(with_backend(with_ep(deployment, 4, "allgather_reducescatter"), "cutlass"))
            .starts_with("ValueError: NvFP4 MoE backend VLLM_CUTLASS"));
  CHECK(answer(with_backend(with_ep(deployment, 4, "nixl_ep"), "flashinfer_cutedsl")) ==
        "FLASHINFER_CUTEDSL_BATCHED FlashInferCuteDSLBatchedExperts");
}

TEST_CASE(
    "nvfp4 oracle: FlashInfer's switch drops four, and alone tries them in an order of its own") {
  const std::string fp4 = "VLLM_USE_FLASHINFER_MOE_FP4";
  CHECK(answer(with_variable(nvfp4_on(on_b200()), fp4, "0")) == "VLLM_CUTLASS CutlassExpertsFp4");
  ExpertsDeployment deployment = nvfp4_on(on_b200());
  deployment.libraries = deployment.libraries.without({Library::flashinfer_trtllm});
  CHECK(answer(deployment) == "FLASHINFER_CUTEDSL FlashInferCuteDSLExperts");
  CHECK(answer(with_variable(deployment, fp4, "1")) == "FLASHINFER_CUTLASS FlashInferExperts");
  const auto chosen = with_variable(deployment, fp4, "1");
  CHECK(answer(with_variable(chosen, "VLLM_FLASHINFER_MOE_BACKEND", "masked_gemm")) ==
        "FLASHINFER_CUTEDSL FlashInferCuteDSLExperts");
  CHECK(answer(with_variable(nvfp4_on(on_a100()), fp4, "1")).starts_with("NotImplementedError"));
  CHECK(answer(with_variable(nvfp4_on(on_b200()), "VLLM_TEST_FORCE_FP8_MARLIN", "1")) ==
        "MARLIN MarlinExperts");
}

TEST_CASE("nvfp4 oracle: one scale for the experts of all ranks with FlashInfer only") {
  const Profile& profile = profile_named(default_profile);
  for (const auto& deployment : {nvfp4_on(on_b200()), nvfp4_on(on_h100())}) {
    const auto notes = joined(notes_on(profile, deployment, select_nvfp4(profile, deployment)));
    const bool is_shared = notes.find("all ranks may share") != std::string::npos;
    CHECK(is_shared == (deployment.capability.major == 10));
  }
}

TEST_CASE("nvfp4 oracle: late 2026 keeps those that clamp where the model has a limit") {
  ExpertsDeployment deployment = with_ep(nvfp4_on(on_b200()), 4, "deepep_low_latency");
  CHECK(answer("late-2026", deployment).starts_with("FLASHINFER_CUTEDSL_BATCHED"));
  deployment.has_swiglu_limit = true;
  CHECK(answer("late-2026", deployment).starts_with("NotImplementedError"));
  CHECK(answer("late-2026", with_backend(deployment, "flashinfer_cutedsl"))
            .starts_with("ValueError: the model sets swiglu_limit"));
}

TEST_CASE("mxfp4 oracle: gpt-oss on each generation") {
  CHECK(answer(mxfp4_on(on_b200())) == "FLASHINFER_TRTLLM_MXFP4_BF16 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(answer(mxfp4_on(on_h100())) == "TRITON OAITritonMxfp4ExpertsMonolithic");
  CHECK(answer(with_ep(mxfp4_on(on_h100()), 4, "allgather_reducescatter")) ==
        "TRITON OAITritonExperts");
  CHECK(answer(mxfp4_on(on_a100())) == "MARLIN MarlinExperts");
  CHECK(answer(mxfp4_on(on(OraclePlatform::xpu))) == "XPU XPUExpertsMXFp4");
  CHECK(answer(mxfp4_on(on(OraclePlatform::cpu))) == "NONE");
  ExpertsDeployment without = mxfp4_on(on_h100());
  without.libraries = without.libraries.without({Library::triton_kernels});
  CHECK(answer(without) == "FLASHINFER_CUTLASS_MXFP4_BF16 FlashInferExperts");
}

TEST_CASE("mxfp4 oracle: LoRA asks whether Marlin was switched off, and nobody whether it can") {
  ExpertsDeployment lora = mxfp4_on(on_h100());
  lora.enable_lora = true;
  CHECK(answer(lora) == "MARLIN MarlinExperts");
  CHECK(answer(with_variable(lora, "VLLM_MXFP4_USE_MARLIN", "0")) ==
        "TRITON_UNFUSED UnfusedOAITritonExperts");
  CHECK(answer(with_variable(lora, "VLLM_MXFP4_USE_MARLIN", "1")) == "MARLIN MarlinExperts");
  ExpertsDeployment rocm = mxfp4_on(on_mi300());
  rocm.enable_lora = true;
  CHECK(answer(rocm) == "NotImplementedError: Mxfp4 LoRA only supported on CUDA Platform.");
}

TEST_CASE("mxfp4 oracle: variables choose rows' type and device") {
  const std::string bf16 = "VLLM_USE_FLASHINFER_MOE_MXFP4_BF16";
  CHECK(answer(with_variable(mxfp4_on(on_h100()), bf16, "1")) ==
        "FLASHINFER_CUTLASS_MXFP4_BF16 FlashInferExperts");
  CHECK(answer(with_variable(mxfp4_on(on_b200()), bf16, "1")) ==
        "FLASHINFER_TRTLLM_MXFP4_BF16 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(answer(with_variable(mxfp4_on(on_a100()), bf16, "1")).starts_with("ValueError: " + bf16));
  CHECK(answer(with_variable(mxfp4_on(on_b200()), bf16, "0")) ==
        "TRITON OAITritonMxfp4ExpertsMonolithic");
  CHECK(answer(with_variable(mxfp4_on(on_b200()), "VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", "1")) ==
        "FLASHINFER_TRTLLM_MXFP4_MXFP8 TrtLlmMxfp4ExpertsMonolithic");
  ExpertsDeployment silu = mxfp4_on(on_b200());
  silu.activation = MoEActivation::silu;
  CHECK(answer(with_variable(silu, "VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS", "1")) ==
        "FLASHINFER_CUTLASS_MXFP4_MXFP8 FlashInferExperts");
  CHECK(answer(with_variable(mxfp4_on(on_h100()), "VLLM_MXFP4_USE_MARLIN", "1")) ==
        "MARLIN MarlinExperts");
  CHECK(answer(with_variable(mxfp4_on(on_h100()), "VLLM_MXFP4_USE_MARLIN", "0")) ==
        answer(mxfp4_on(on_h100())));
}

TEST_CASE("mxfp4 oracle: requests, of which marlin has a batched twin") {
  CHECK(answer(with_backend(mxfp4_on(on_b200()), "flashinfer_trtllm")) ==
        "FLASHINFER_TRTLLM_MXFP4_BF16 TrtLlmMxfp4ExpertsMonolithic");
  CHECK(answer(with_backend(with_ep(mxfp4_on(on_h100()), 4, "nixl_ep"), "marlin")) ==
        "BATCHED_MARLIN BatchedMarlinExperts");
  CHECK(answer(with_backend(mxfp4_on(on_h100()), "cutlass")).find("Expected one of") !=
        std::string::npos);
  CHECK(answer("late-2026", with_backend(mxfp4_on(on_h100()), "triton_unfused")) ==
        "TRITON_UNFUSED UnfusedOAITritonExperts");
}

TEST_CASE("mxfp4 oracle: weights are made for sizes that the backend can take") {
  const auto sizes = [](const ExpertsDeployment& deployment) {
    const auto decision = select_mxfp4(profile_named(default_profile), deployment);
    return mxfp4_sizes(*decision.backend, deployment);
  };
  CHECK(sizes(mxfp4_on(on_a100())) == ExpertsSizes{3072, 2944});
  CHECK(sizes(mxfp4_on(on_b200())) == ExpertsSizes{3072, 3072});
  CHECK(sizes(mxfp4_on(on_h100())) == ExpertsSizes{2880, 2880});
  ExpertsDeployment cutlass = with_backend(mxfp4_on(on_h100()), "flashinfer_cutlass");
  CHECK(sizes(cutlass) == ExpertsSizes{2944, 2944});
}

TEST_CASE("mxfp4 oracle: late 2026 lists every candidate and reason when nothing can") {
  ExpertsDeployment deployment = mxfp4_on(on_h100());
  deployment.batch_invariant = true;
  deployment.libraries = {};
  CHECK(answer("late-2026", deployment) == "EMULATION OCP_MXQuantizationEmulationTritonExperts");
  deployment = with_ep(deployment, 4, "deepep_low_latency");
  const std::string said = answer("late-2026", deployment);
  CHECK(said.starts_with("NotImplementedError: No MXFP4 MoE backend"));
  CHECK(said.find("BATCHED_MARLIN: kernel does not support batch invariance;") !=
        std::string::npos);
}
