// The worked outcomes of experts-and-oracles.md, 7, as written there: unquantised, fp8 and mxfp8,
// int8 and wna16, the batched format, and what a variable does that is set to 0.
// The 4-bit oracles are experts_oracle_fp4_test.cc.

#include "tests/catch.h"
#include "tests/unit/backends/oracle_deployments.h"

using namespace moe;
using namespace moe::oracle_tests;

TEST_CASE("unquantised oracle: H100 with dp 1 takes FlashInfer CUTLASS where it is installed") {
  const ExpertsDeployment tensor_parallel = with_tp(on_h100(), 8);
  ExpertsDeployment expert_parallel = tensor_parallel;
  expert_parallel.enable_expert_parallel = true;
  for (ExpertsDeployment deployment : {tensor_parallel, expert_parallel}) {
    CHECK(answer(deployment) == "FLASHINFER_CUTLASS FlashInferExperts");
    deployment.libraries = {};
    CHECK(answer(deployment) == "TRITON TritonExperts");
    CHECK(refusals(deployment) == "FLASHINFER_TRTLLM device, FLASHINFER_CUTLASS device");
  }
}

TEST_CASE("unquantised oracle: dp above 1 puts FlashInfer CUTLASS last, a request still gets it") {
  const ExpertsDeployment deployment = with_ep(on_h100(), 4, "allgather_reducescatter");
  CHECK(answer(deployment) == "TRITON TritonExperts");
  CHECK(answer(with_backend(deployment, "flashinfer_cutlass")) ==
        "FLASHINFER_CUTLASS FlashInferExperts");
  const auto decision = select_unquantized(profile_named(default_profile), deployment);
  CHECK(joined(decision.priority, " ") ==
        "FLASHINFER_TRTLLM TRITON BATCHED_TRITON FLASHINFER_CUTLASS");
}

TEST_CASE(
    "unquantised oracle: low latency takes batched Triton, all standard ones fail on format") {
  const ExpertsDeployment deployment = with_ep(on_h100(), 4, "deepep_low_latency");
  CHECK(answer(deployment) == "BATCHED_TRITON BatchedTritonExperts");
  CHECK(refusals(deployment) == "FLASHINFER_TRTLLM device, TRITON activation_format");
  CHECK(answer(with_backend(deployment, "triton")) == "BATCHED_TRITON BatchedTritonExperts");
  CHECK(answer(with_ep(on_h100(), 4, "nixl_ep")) == "BATCHED_TRITON BatchedTritonExperts");
  CHECK(answer("post-33728", with_ep(on_h100(), 4, "nixl_ep")) == "TRITON TritonExperts");
}

TEST_CASE("unquantised oracle: B200 takes TRTLLM, monolithic, where it can route") {
  ExpertsDeployment deployment = on_b200();
  const Profile& profile = profile_named(default_profile);
  CHECK(answer(deployment) == "FLASHINFER_TRTLLM TrtLlmBf16Experts");
  CHECK(select_unquantized(profile, deployment).is_monolithic());
  deployment.router = RouterKind::softmax;  // OLMoE: Default
  CHECK(answer(deployment) == "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(refusals(deployment) == "FLASHINFER_TRTLLM routing_method");
  deployment.router = RouterKind::softmax_renormalize;
  deployment.enable_eplb = true;
  CHECK(refusals(deployment) == "FLASHINFER_TRTLLM parallel_config");
}

TEST_CASE("unquantised oracle: TRTLLM is probed by its library, which is told with the answer") {
  const Profile& profile = profile_named(default_profile);
  const auto told = [&](const ExpertsDeployment& deployment) {
    const auto notes = notes_on(profile, deployment, select_unquantized(profile, deployment));
    return joined(notes).find("not its bf16 kernel") != std::string::npos;
  };
  CHECK(told(on_b200()));
  CHECK_FALSE(told(on_h100()));
}

TEST_CASE("unquantised oracle: platforms with one answer, and LoRA, which asks nobody") {
  CHECK(answer(on(OraclePlatform::cpu)) == "CPU");
  CHECK(answer(on(OraclePlatform::tpu)) == "TPU");
  CHECK(answer(on(OraclePlatform::out_of_tree)) == "OOT");
  CHECK(answer(on(OraclePlatform::xpu)) == "XPU XPUExperts");
  ExpertsDeployment deployment = with_ep(on_h100(), 4, "deepep_low_latency");
  deployment.enable_lora = true;
  const auto decision = select_unquantized(profile_named(default_profile), deployment);
  CHECK(answer(decision) == "TRITON TritonExperts");
  CHECK(decision.is_unchecked);
  CHECK(decision.trace.empty());
}

TEST_CASE("unquantised oracle: FlashInfer's switch at 0 is not the switch unset") {
  const std::string fp16 = "VLLM_USE_FLASHINFER_MOE_FP16";
  const std::string backend = "VLLM_FLASHINFER_MOE_BACKEND";
  const ExpertsDeployment h100 = on_h100();
  CHECK(answer(with_variable(h100, fp16, "0")) == "TRITON TritonExperts");
  CHECK(answer(with_variable(h100, fp16, "1")) == "FLASHINFER_CUTLASS FlashInferExperts");
  const ExpertsDeployment on = with_variable(on_b200(), fp16, "1");
  CHECK(answer(with_variable(on, backend, "throughput")) == "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(answer(with_variable(on, backend, "latency")) == "FLASHINFER_TRTLLM TrtLlmBf16Experts");
  // Latency's kernels are SM100's; elsewhere the others are taken in silence.
  CHECK(answer(with_variable(with_variable(h100, fp16, "1"), backend, "latency")) ==
        "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(
      answer(with_variable(on, backend, "masked_gemm")).starts_with("ValueError: FlashInfer MoE"));
  const ExpertsDeployment a100 = with_variable(on_a100(), fp16, "1");
  CHECK(answer(a100) ==
        "NotImplementedError: Found VLLM_USE_FLASHINFER_MOE_FP16=1, but no FlashInfer Unquantized "
        "MoE backend supports the configuration.");
  CHECK(answer(with_variable(a100, backend, "throughput")) ==
        "ValueError: Unquantized MoE backend FlashInfer CUTLASS does not support the deployment "
        "configuration since kernel does not support current device cuda.");
}

TEST_CASE("unquantised oracle: AITER is on by its switch, either of both at 0 takes it away") {
  const ExpertsDeployment rocm = on_mi300();
  CHECK(answer(rocm) == "TRITON TritonExperts");
  const ExpertsDeployment on = with_variable(rocm, "VLLM_ROCM_USE_AITER", "1");
  CHECK(answer(on) == "AITER AiterExperts");
  CHECK(answer(with_variable(on, "VLLM_ROCM_USE_AITER_MOE", "0")) == "TRITON TritonExperts");
  CHECK(answer(with_variable(rocm, "VLLM_ROCM_USE_AITER_MOE", "1")) == "TRITON TritonExperts");
  ExpertsDeployment gated = on;
  gated.activation = MoEActivation::relu2_no_mul;
  CHECK(answer(gated) ==
        "ValueError: Unquantized MoE backend ROCm AITER does not support the deployment "
        "configuration since kernel does not support no act_and_mul MLP layer.");
}

TEST_CASE("unquantised oracle: words that no backend has, and nothing left") {
  CHECK(answer(with_backend(on_h100(), "marlin")) ==
        "ValueError: moe_backend='marlin' is not supported for Unquantized MoE. Expected one of "
        "['triton', 'flashinfer_trtllm', 'flashinfer_cutlass', 'aiter'].");
  ExpertsDeployment deployment = with_ep(on_h100(), 4, "flashinfer_nvlink_two_sided");
  deployment.activation = MoEActivation::gelu;
  CHECK(answer(deployment) ==
        "NotImplementedError: No Unquantized MoE backend supports the deployment configuration.");
  CHECK(refusals(deployment) ==
        "FLASHINFER_TRTLLM device, TRITON parallel_config, BATCHED_TRITON activation_format, "
        "FLASHINFER_CUTLASS activation");
}

TEST_CASE("unquantised oracle: before #36286 FlashInfer is asked for, after it a default") {
  ExpertsDeployment deployment = with_tp(on_h100(), 2);
  deployment.enable_expert_parallel = true;
  CHECK(answer("post-36294", deployment) == "TRITON TritonExperts");
  CHECK(answer("post-36286", deployment) == "FLASHINFER_CUTLASS FlashInferExperts");
  const auto asked = with_variable(deployment, "VLLM_USE_FLASHINFER_MOE_FP16", "1");
  CHECK(answer("post-36294", asked) == "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(answer("post-36294", with_ep(on_h100(), 4, "deepep_low_latency")) ==
        "TRITON BatchedTritonExperts");
}

TEST_CASE("unquantised oracle: late 2026 prefers Triton on SM90 and for swigluoai") {
  CHECK(answer("late-2026", on_h100()) == "TRITON TritonExperts");
  CHECK(answer("late-2026", on_b200()) == "FLASHINFER_TRTLLM TrtLlmBf16ExpertsMonolithic");
  CHECK(answer("late-2026", with_ep(on_b200(), 4, "deepep_high_throughput")) ==
        "FLASHINFER_TRTLLM TrtLlmBf16ExpertsModular");
  ExpertsDeployment deployment = on_b200();
  deployment.activation = MoEActivation::swigluoai;
  CHECK(answer(deployment) == "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(answer("late-2026", deployment) == "TRITON TritonExperts");
  CHECK(answer("late-2026", with_variable(on_h100(), "VLLM_USE_FLASHINFER_MOE_FP16", "1")) ==
        "TRITON TritonExperts");
  CHECK(answer("late-2026", with_backend(on_h100(), "batched_triton")) ==
        "BATCHED_TRITON BatchedTritonExperts");
}

TEST_CASE("fp8 oracle: SM90 with 128-blocks prefers Triton for TP and FlashInfer for EP") {
  const ExpertsDeployment block = with_quant(on_h100(), "fp8_block128");
  CHECK(answer(with_tp(block, 8)) == "TRITON TritonExperts");
  CHECK(answer(with_ep(block, 4, "allgather_reducescatter")) ==
        "FLASHINFER_CUTLASS FlashInferExperts");
  CHECK(answer(with_quant(on_b200(), "fp8_block128")) ==
        "FLASHINFER_TRTLLM TrtLlmFp8ExpertsMonolithic");
  CHECK(answer(with_quant(on_a100(), "fp8_block128")) == "MARLIN MarlinExperts");
  CHECK(answer(with_quant(on_cuda(8, 9), "fp8_block128")) == "TRITON TritonExperts");
}

TEST_CASE("fp8 oracle: the order, with and without leave for vLLM's CUTLASS") {
  const Profile& profile = profile_named(default_profile);
  ExpertsDeployment deployment = with_quant(on_h100(), "fp8_channel_token");
  CHECK(joined(select_fp8(profile, deployment).priority, " ") ==
        "AITER FLASHINFER_TRTLLM FLASHINFER_CUTLASS DEEPGEMM VLLM_CUTLASS TRITON MARLIN "
        "BATCHED_DEEPGEMM BATCHED_VLLM_CUTLASS BATCHED_TRITON XPU");
  CHECK(answer(deployment) == "VLLM_CUTLASS TritonOrCutlassExperts");
  deployment.allow_vllm_cutlass = false;
  CHECK(answer(deployment) == "TRITON TritonExperts");
  CHECK(answer(with_backend(deployment, "cutlass")) ==
        "ValueError: vLLM CUTLASS FP8 MoE backend is disabled for this configuration.");
}

TEST_CASE("fp8 oracle: DeepGEMM's switches drop it at 0 and force it at 1") {
  const ExpertsDeployment block = with_quant(on_b200(), "fp8_block128");
  const ExpertsDeployment low_latency = with_ep(block, 4, "deepep_low_latency");
  CHECK(answer(low_latency) == "BATCHED_DEEPGEMM BatchedDeepGemmExperts");
  CHECK(answer(with_variable(low_latency, "VLLM_MOE_USE_DEEP_GEMM", "0")) ==
        "BATCHED_TRITON BatchedTritonExperts");
  CHECK(answer(with_variable(block, "VLLM_USE_DEEP_GEMM", "1")) ==
        "DEEPGEMM TritonOrDeepGemmExperts");
  CHECK(answer(with_variable(low_latency, "VLLM_USE_DEEP_GEMM", "1")) ==
        "BATCHED_DEEPGEMM BatchedDeepGemmExperts");
  CHECK(answer(with_variable(with_quant(on_a100(), "fp8_block128"), "VLLM_USE_DEEP_GEMM", "1"))
            .starts_with("ValueError: FP8 MoE backend DEEPGEMM does not support"));
}

TEST_CASE("fp8 oracle: Marlin by force, LoRA, and NONE where no GPU rules hold") {
  const ExpertsDeployment block = with_quant(on_b200(), "fp8_block128");
  CHECK(answer(with_variable(block, "VLLM_TEST_FORCE_FP8_MARLIN", "1")) == "MARLIN MarlinExperts");
  CHECK(answer(with_variable(block, "VLLM_TEST_FORCE_FP8_MARLIN", "0")) == answer(block));
  ExpertsDeployment lora = block;
  lora.enable_lora = true;
  CHECK(answer(lora) == "TRITON TritonExperts");
  CHECK(answer(with_quant(on(OraclePlatform::cpu), "fp8_block128")) == "NONE");
  CHECK(answer("late-2026", with_quant(on(OraclePlatform::cpu), "fp8_block128")) ==
        "CPU CPUExpertsFp8");
  CHECK(answer(with_quant(on(OraclePlatform::xpu), "fp8_tensor_a16")) == "XPU XPUExpertsFp8");
  CHECK(answer(with_ep(with_quant(on_a100(), "fp8_block128"), 4, "deepep_low_latency")) ==
        "NotImplementedError: No FP8 MoE backend supports the deployment configuration.");
}

TEST_CASE("fp8 oracle: fp32 router logits go with DeepSeek's routing alone in TRTLLM") {
  ExpertsDeployment deployment = with_quant(on_b200(), "fp8_block128");
  deployment.router_logits_dtype = DType::f32;
  CHECK(answer(deployment) == "FLASHINFER_TRTLLM TrtLlmFp8ExpertsModular");
  CHECK(refusals(deployment) == "AITER device, FLASHINFER_TRTLLM router_logits_dtype");
  deployment.router = RouterKind::sigmoid_bias_groups;
  CHECK(answer(deployment) == "FLASHINFER_TRTLLM TrtLlmFp8ExpertsMonolithic");
}

TEST_CASE("fp8 oracle: batch invariance leaves Triton alone") {
  ExpertsDeployment deployment = with_quant(on_h100(), "fp8_tensor");
  CHECK(answer(deployment) == "FLASHINFER_CUTLASS FlashInferExperts");
  deployment.batch_invariant = true;
  CHECK(answer(deployment) == "TRITON TritonExperts");
}

TEST_CASE("mxfp8 oracle: TRTLLM, Marlin, and two errors") {
  CHECK(answer(with_quant(on_b200(), "mxfp8")) == "FLASHINFER_TRTLLM TrtLlmFp8ExpertsMonolithic");
  CHECK(answer(with_quant(on_h100(), "mxfp8")) == "MARLIN MarlinExperts");
  CHECK(answer(with_quant(on_mi300(), "mxfp8")) == "ValueError: No MXFP8 MoE backends available.");
  ExpertsDeployment lora = with_quant(on_h100(), "mxfp8");
  lora.enable_lora = true;
  CHECK(answer(lora) == "NotImplementedError: LoRA is not supported for MXFP8 MoE.");
  CHECK(answer(with_backend(with_quant(on_h100(), "mxfp8"), "triton")) ==
        "ValueError: moe_backend='triton' is not supported for MXFP8 MoE. Expected one of "
        "['flashinfer_trtllm', 'marlin'].");
}

TEST_CASE("int8 and wna16 oracles: their few candidates") {
  const Profile& profile = profile_named(default_profile);
  const ExpertsDeployment int8 = with_quant(on_h100(), "int8");
  CHECK(answer(int8) == "TRITON TritonExperts");
  const auto notes = notes_on(profile, int8, select_int8(profile, int8));
  CHECK(joined(notes).find("#51411") != std::string::npos);
  CHECK(answer("late-2026", with_quant(on(OraclePlatform::cpu), "int8")) == "CPU CPUExpertsInt8");
  const ExpertsDeployment int4 = with_quant(on_h100(), "int4_a16");
  CHECK(answer(int4) == "MARLIN MarlinExperts");
  CHECK(answer(with_backend(int4, "triton")) == "MARLIN MarlinExperts");  // ignored
  CHECK(answer(with_quant(on_mi300(), "int4_a16")) ==
        "NotImplementedError: No WNA16 MoE backend supports the deployment configuration.");
  CHECK(answer("late-2026", with_quant(on_mi300(), "int4_a16")) == "TRITON TritonWNA16Experts");
}

TEST_CASE("oracles in the batched format: which family has an answer") {
  const auto batched = [](ExpertsDeployment deployment, std::string_view quant) {
    return with_ep(with_quant(std::move(deployment), quant), 4, "deepep_low_latency");
  };
  CHECK(answer(batched(on_h100(), "none")) == "BATCHED_TRITON BatchedTritonExperts");
  CHECK(answer(batched(on_h100(), "fp8_block128")) == "BATCHED_DEEPGEMM BatchedDeepGemmExperts");
  CHECK(answer(batched(on_cuda(12), "fp8_block128")) == "BATCHED_TRITON BatchedTritonExperts");
  CHECK(answer(batched(on_h100(), "fp8_tensor")) ==
        "BATCHED_VLLM_CUTLASS CutlassBatchedExpertsFp8");
  ExpertsDeployment without_leave = batched(on_h100(), "fp8_tensor");
  without_leave.allow_vllm_cutlass = false;
  CHECK(answer(without_leave) == "BATCHED_TRITON BatchedTritonExperts");
  CHECK(answer(batched(on_b200(), "nvfp4")) ==
        "FLASHINFER_CUTEDSL_BATCHED FlashInferCuteDSLBatchedExperts");
  CHECK(answer(batched(on_h100(), "nvfp4")) ==
        "NotImplementedError: No NvFp4 MoE backend supports the deployment configuration.");
  CHECK(answer(batched(on_a100(), "mxfp4")) == "BATCHED_MARLIN BatchedMarlinExperts");
  CHECK(answer(batched(on_a100(), "int4_a16")) == "BATCHED_MARLIN BatchedMarlinExperts");
  CHECK(answer(batched(on_h100(), "mxfp8")) == "ValueError: No MXFP8 MoE backends available.");
  CHECK(answer(batched(on_h100(), "int8")) ==
        "NotImplementedError: No Int8 MoE backend supports the deployment configuration.");
}
