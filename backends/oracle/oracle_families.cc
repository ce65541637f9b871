// The rows of the unquantised oracle and of those with 8-bit numbers (experts-and-oracles.md, 7.1
// to 7.3, 7.6). UNVERIFIED: the order of fp8's backends in late 2026 (the page names those that
// came); HPC is taken on request only.

#include "backends/oracle/oracle_families.h"

namespace moe::oracle_rows {
namespace {

using enum KernelVendor;

bool is_dp(const OracleQuestion& question) { return question.parallel.dp_size > 1; }
bool is_swigluoai(const OracleQuestion& question) {
  return question.deployment.activation == MoEActivation::swigluoai;
}
bool is_late_sm90(const OracleQuestion& question) {
  return is_cuda(question) && question.deployment.capability.major == 9;
}

bool is_block_fp8(const OracleQuestion& question) {
  return question.deployment.quant.weight == QuantKey::fp8_static_128_block &&
         question.deployment.quant.activation == QuantKey::fp8_dynamic_128;
}
bool is_sm90_block_with_ep(const OracleQuestion& question) {
  return is_exact_sm90(question) && is_block_fp8(question) && question.parallel.ep_size > 1;
}
bool is_sm90_block_without_ep(const OracleQuestion& question) {
  return is_exact_sm90(question) && is_block_fp8(question) && question.parallel.ep_size == 1;
}
bool is_deepep_v2_sm100_block(const OracleQuestion& question) {
  return is_sm100_family(question) && is_block_fp8(question) &&
         question.parallel.use_deepep_v2_kernels;
}
bool is_xpu(const OracleQuestion& question) {
  return question.deployment.platform == OraclePlatform::xpu;
}
bool is_cpu(const OracleQuestion& question) {
  return question.deployment.platform == OraclePlatform::cpu;
}
bool is_without_vllm_cutlass(const OracleQuestion& question) {
  return !question.deployment.allow_vllm_cutlass;
}

// Before #36286 FlashInfer was asked for by its switch, each backend with a condition of its own.
bool is_trtllm_not_asked_for(const OracleQuestion& question) {
  const OracleEnvironment& environment = question.deployment.environment;
  return !environment.is_on("VLLM_USE_FLASHINFER_MOE_FP16") ||
         environment.value("VLLM_FLASHINFER_MOE_BACKEND") != "latency";
}
bool is_cutlass_not_asked_for(const OracleQuestion& question) {
  return !question.deployment.environment.is_on("VLLM_USE_FLASHINFER_MOE_FP16") ||
         question.parallel.ep_size == 1 || question.parallel.dp_size > 1;
}

const std::vector<std::string_view> aiter_variables = {"VLLM_ROCM_USE_AITER",
                                                       "VLLM_ROCM_USE_AITER_MOE"};
const std::vector<std::string_view> both_flashinfer = {"FLASHINFER_TRTLLM", "FLASHINFER_CUTLASS"};

std::vector<OracleBackend> unquantized_backends() {
  return {{.name = "FLASHINFER_TRTLLM",
           .classes = {"TrtLlmBf16Experts"},
           .vendor = flashinfer,
           .eras = until_late,
           .value = "FlashInfer TRTLLM"},
          {.name = "FLASHINFER_TRTLLM",
           .classes = {"TrtLlmBf16ExpertsMonolithic", "TrtLlmBf16ExpertsModular"},
           .vendor = flashinfer,
           .eras = late,
           .value = "FlashInfer TRTLLM"},
          {.name = "FLASHINFER_CUTLASS",
           .classes = {"FlashInferExperts"},
           .vendor = flashinfer,
           .value = "FlashInfer CUTLASS"},
          {.name = "AITER", .classes = {"AiterExperts"}, .vendor = aiter, .value = "ROCm AITER"},
          // Before #36286 the method took the class of the format under the one name.
          {.name = "TRITON",
           .classes = {"TritonExperts", "BatchedTritonExperts"},
           .eras = before_36286},
          {.name = "TRITON",
           .classes = {"TritonExperts"},
           .batched_twin = "BATCHED_TRITON",
           .eras = since_36286},
          {.name = "BATCHED_TRITON", .classes = {"BatchedTritonExperts"}, .eras = since_36286},
          {.name = "CPU"},
          {.name = "XPU", .classes = {"XPUExperts"}},
          {.name = "TPU"},
          {.name = "OOT"}};
}

std::vector<OracleBackend> fp8_backends() {
  return {
      {.name = "NONE"},
      {.name = "FLASHINFER_TRTLLM",
       .classes = {"TrtLlmFp8ExpertsMonolithic", "TrtLlmFp8ExpertsModular"},
       .vendor = flashinfer,
       .quant_config = "w8a8"},
      {.name = "FLASHINFER_CUTLASS",
       .classes = {"FlashInferExperts"},
       .vendor = flashinfer,
       .quant_config = "w8a8",
       .quant_config_per_tensor = "w8a8 with alphas w_scale·a_scale and inverse activation scales"},
      {.name = "DEEPGEMM",
       .classes = {"TritonOrDeepGemmExperts"},
       .vendor = deep_gemm,
       .batched_twin = "BATCHED_DEEPGEMM",
       .quant_config = "w8a8"},
      {.name = "BATCHED_DEEPGEMM",
       .classes = {"BatchedDeepGemmExperts"},
       .vendor = deep_gemm,
       .quant_config = "w8a8"},
      {.name = "MARLIN", .classes = {"MarlinExperts"}, .quant_config = "w8a16"},
      {.name = "TRITON",
       .classes = {"TritonExperts"},
       .batched_twin = "BATCHED_TRITON",
       .quant_config = "w8a8"},
      {.name = "BATCHED_TRITON", .classes = {"BatchedTritonExperts"}, .quant_config = "w8a8"},
      {.name = "AITER", .classes = {"AiterExperts"}, .vendor = aiter, .quant_config = "w8a8"},
      {.name = "VLLM_CUTLASS",
       .classes = {"TritonOrCutlassExperts"},
       .vendor = vllm_cutlass,
       .batched_twin = "BATCHED_VLLM_CUTLASS",
       .quant_config = "w8a8"},
      {.name = "BATCHED_VLLM_CUTLASS",
       .classes = {"CutlassBatchedExpertsFp8"},
       .vendor = vllm_cutlass,
       .quant_config = "w8a8"},
      {.name = "XPU", .classes = {"XPUExpertsFp8"}, .quant_config = "w8a8"},
      {.name = "HUMMING", .classes = humming_classes, .eras = late},
      {.name = "CPU", .classes = {"CPUExpertsFp8"}, .eras = late},
      {.name = "HPC", .classes = {"HpcExperts"}, .eras = late},
      {.name = "EMULATION", .classes = {"Fp8EmulationTritonExperts"}, .eras = late}};
}

}  // namespace

OracleFamily unquantized_family() {
  OracleFamily family{.name = OracleFamilyName::unquantized, .title = "Unquantized MoE"};
  family.backends = unquantized_backends();
  family.platforms = {
      {cpu, "CPU"}, {{OraclePlatform::tpu}, "TPU"}, {{OraclePlatform::out_of_tree}, "OOT"}};
  family.lora = {{"TRITON"}};
  family.priorities = {
      {before_36286, rocm, {"AITER", "TRITON"}},
      {before_36286, cuda, {"FLASHINFER_TRTLLM", "FLASHINFER_CUTLASS", "TRITON"}},
      {{}, rocm, {"AITER", "TRITON", "BATCHED_TRITON"}},
      {{}, cuda, {"FLASHINFER_TRTLLM", "FLASHINFER_CUTLASS", "TRITON", "BATCHED_TRITON"}},
      {{}, xpu, {"XPU"}}};
  family.moves = {
      {late, both_flashinfer, MoveTo::back, is_late_sm90, "SM90: Triton is faster there (#44220)"},
      {since_36286,
       {"FLASHINFER_CUTLASS"},
       MoveTo::back,
       [](const OracleQuestion& question) { return is_cuda(question) && is_dp(question); },
       "dp_size above 1: FlashInfer CUTLASS last, a way round a crash"},
      {late, both_flashinfer, MoveTo::back,
       [](const OracleQuestion& question) { return is_cuda(question) && is_swigluoai(question); },
       "swigluoai: FlashInfer takes it for plain SwiGLU"}};
  family.requests = {{"triton", "TRITON"},
                     {"batched_triton", "BATCHED_TRITON", late, true},
                     {"flashinfer_trtllm", "FLASHINFER_TRTLLM"},
                     {"flashinfer_cutlass", "FLASHINFER_CUTLASS"},
                     {"aiter", "AITER"}};
  family.variables = {{VariableEffect::flashinfer_choice,
                       {"VLLM_USE_FLASHINFER_MOE_FP16"},
                       both_flashinfer,
                       flashinfer,
                       full_until_late},
                      {VariableEffect::vendor_switch, aiter_variables, {"AITER"}, aiter}};
  family.drops = {
      {{"FLASHINFER_TRTLLM"},
       is_trtllm_not_asked_for,
       "before #36286 VLLM_USE_FLASHINFER_MOE_FP16=1 with the latency backend asks for it",
       before_36286},
      {{"FLASHINFER_CUTLASS"},
       is_cutlass_not_asked_for,
       "before #36286 VLLM_USE_FLASHINFER_MOE_FP16=1 with EP and one DP rank asks for it",
       before_36286}};
  family.end.text = "No Unquantized MoE backend supports the deployment configuration.";
  return family;
}

OracleFamily fp8_family() {
  OracleFamily family{.name = OracleFamilyName::fp8, .title = "FP8 MoE"};
  family.backends = fp8_backends();
  family.lora = {{"TRITON"}};
  family.priorities = {
      {until_late,
       {},
       {"AITER", "FLASHINFER_TRTLLM", "FLASHINFER_CUTLASS", "DEEPGEMM", "VLLM_CUTLASS", "TRITON",
        "MARLIN", "BATCHED_DEEPGEMM", "BATCHED_VLLM_CUTLASS", "BATCHED_TRITON", "XPU"}},
      {late,
       {},
       {"AITER", "FLASHINFER_TRTLLM", "FLASHINFER_CUTLASS", "DEEPGEMM", "VLLM_CUTLASS", "TRITON",
        "MARLIN", "HUMMING", "BATCHED_DEEPGEMM", "BATCHED_VLLM_CUTLASS", "BATCHED_TRITON", "XPU",
        "CPU", "EMULATION"}}};
  family.moves = {{{},
                   {"FLASHINFER_CUTLASS"},
                   MoveTo::front,
                   is_sm90_block_with_ep,
                   "SM90 with 128-blocks and EP: FlashInfer CUTLASS first"},
                  {{},
                   {"TRITON"},
                   MoveTo::front,
                   is_sm90_block_without_ep,
                   "SM90 with 128-blocks without EP: Triton first"},
                  {late,
                   {"FLASHINFER_TRTLLM"},
                   MoveTo::front,
                   is_deepep_v2_sm100_block,
                   "DeepEP V2 on SM100 with 128-blocks: TRTLLM first"},
                  {{}, {"XPU"}, MoveTo::front, is_xpu, "xpu: its own first"},
                  {late, {"CPU"}, MoveTo::front, is_cpu, "cpu: its own first"}};
  family.requests = {{"triton", "TRITON"},
                     {"batched_triton", "BATCHED_TRITON", late, true},
                     {"deep_gemm", "DEEPGEMM"},
                     {"cutlass", "VLLM_CUTLASS"},
                     {"flashinfer_trtllm", "FLASHINFER_TRTLLM"},
                     {"flashinfer_cutlass", "FLASHINFER_CUTLASS"},
                     {"marlin", "MARLIN"},
                     {"aiter", "AITER"},
                     {"humming", "HUMMING", late},
                     {"hpc", "HPC", late},
                     {"emulation", "EMULATION", late}};
  family.variables = {{VariableEffect::flashinfer_choice,
                       {"VLLM_USE_FLASHINFER_MOE_FP8"},
                       both_flashinfer,
                       flashinfer,
                       until_late},
                      {VariableEffect::vendor_switch,
                       {"VLLM_USE_DEEP_GEMM", "VLLM_MOE_USE_DEEP_GEMM"},
                       {"DEEPGEMM"},
                       deep_gemm},
                      {VariableEffect::force_on, {"VLLM_TEST_FORCE_FP8_MARLIN"}, {"MARLIN"}},
                      {VariableEffect::vendor_switch, aiter_variables, {"AITER"}, aiter}};
  family.vllm_cutlass_disabled = "vLLM CUTLASS FP8 MoE backend is disabled for this configuration.";
  family.drops = {{{"VLLM_CUTLASS", "BATCHED_VLLM_CUTLASS"},
                   is_without_vllm_cutlass,
                   "the quantisation method does not allow vLLM's CUTLASS"}};
  family.end = {.text = "No FP8 MoE backend supports the deployment configuration.",
                .none_on = without_gpu_rules};
  return family;
}

OracleFamily mxfp8_family() {
  OracleFamily family{.name = OracleFamilyName::mxfp8, .title = "MXFP8 MoE"};
  family.backends = {
      {.name = "FLASHINFER_TRTLLM",
       .classes = {"TrtLlmFp8ExpertsMonolithic", "TrtLlmFp8ExpertsModular"},
       .vendor = flashinfer,
       .quant_config = "mxfp8, scales not swizzled"},
      {.name = "MARLIN", .classes = {"MarlinExperts"}, .quant_config = "w8a16"},
      {.name = "DEEPGEMM", .classes = {"DeepGemmExperts"}, .vendor = deep_gemm, .eras = late},
      {.name = "XPU", .classes = {"XPUExpertsMxfp8"}, .eras = late},
      {.name = "AITER_MXFP8", .classes = {"AiterExperts"}, .vendor = aiter, .eras = late},
      {.name = "HUMMING", .classes = humming_classes, .eras = late},
      {.name = "TRITON_MXFP8", .classes = {"TritonMxfp8Experts"}, .eras = late},
      {.name = "EMULATION", .classes = {"OCP_MXQuantizationEmulationTritonExperts"}, .eras = late}};
  family.lora = {{.error = "LoRA is not supported for MXFP8 MoE."}};
  family.priorities = {{until_late, {}, {"FLASHINFER_TRTLLM", "MARLIN"}},
                       {late,
                        {},
                        {"FLASHINFER_TRTLLM", "DEEPGEMM", "MARLIN", "XPU", "AITER_MXFP8", "HUMMING",
                         "TRITON_MXFP8", "EMULATION"}}};
  family.requests = {{"flashinfer_trtllm", "FLASHINFER_TRTLLM"},
                     {"marlin", "MARLIN"},
                     {"deep_gemm", "DEEPGEMM", late},
                     {"aiter", "AITER_MXFP8", late},
                     {"humming", "HUMMING", late},
                     {"triton", "TRITON_MXFP8", late},
                     {"emulation", "EMULATION", late}};
  family.end = {OracleError::value_error, "No MXFP8 MoE backends available."};
  return family;
}

OracleFamily int8_family() {
  OracleFamily family{.name = OracleFamilyName::int8, .title = "Int8 MoE"};
  family.backends = {{.name = "TRITON", .classes = {"TritonExperts"}},
                     {.name = "HUMMING", .classes = humming_classes, .eras = late},
                     {.name = "CPU", .classes = {"CPUExpertsInt8"}, .eras = late}};
  family.lora = {{"TRITON"}};
  family.priorities = {{until_late, {}, {"TRITON"}}, {late, {}, {"TRITON", "HUMMING", "CPU"}}};
  family.requests = {{"triton", "TRITON"}, {"humming", "HUMMING", late}};
  family.end.text = "No Int8 MoE backend supports the deployment configuration.";
  return family;
}

}  // namespace moe::oracle_rows
