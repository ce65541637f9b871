// The rows of the oracles with 4-bit numbers (experts-and-oracles.md, 7.4 to 7.6), and the families
// by name.
// UNVERIFIED: before post-40412 as there. Of late 2026 the page says "filtered by the requested
// activation key": that a deployment without one filters nothing (the order has each vendor's
// backend with bf16 rows before its others, as #41566 left it), that Marlin goes where one asks
// for codes, and that emulation stays.

#include <array>

#include "backends/oracle/oracle_families.h"
#include "kernels/base/check.h"

namespace moe {
namespace oracle_rows {
namespace {

using enum KernelVendor;

bool is_lora_off_cuda(const OracleQuestion& question) { return !is_cuda(question); }
// The variable must be set: unset, Marlin is taken.
bool is_marlin_switched_off(const OracleQuestion& question) {
  const ExpertsDeployment& deployment = question.deployment;
  return deployment.environment.value("VLLM_MXFP4_USE_MARLIN") == "0" &&
         deployment.libraries.has(Library::triton_kernels) &&
         deployment.capability >= DeviceCapability{9, 0} &&
         deployment.capability < DeviceCapability{11, 0};
}

constexpr std::string_view trtllm_bf16 = "FLASHINFER_TRTLLM_MXFP4_BF16";
constexpr std::string_view trtllm_mxfp8 = "FLASHINFER_TRTLLM_MXFP4_MXFP8";
constexpr std::string_view cutlass_bf16 = "FLASHINFER_CUTLASS_MXFP4_BF16";
constexpr std::string_view cutlass_mxfp8 = "FLASHINFER_CUTLASS_MXFP4_MXFP8";

}  // namespace

std::vector<OracleBackend> mxfp4_backends() {
  return {{.name = "NONE"},
          {.name = "DEEPGEMM_MXFP4",
           .classes = {"DeepGemmFP4Experts"},
           .vendor = deep_gemm,
           .activation_key = QuantKey::fp8_dynamic_128,
           .eras = late},
          {.name = trtllm_mxfp8,
           .classes = {"TrtLlmMxfp4ExpertsMonolithic", "TrtLlmMxfp4ExpertsModular"},
           .sizes = SizeMultiples{256, 256, 256},
           .vendor = flashinfer,
           .activation_key = QuantKey::mxfp8_dynamic},
          {.name = trtllm_bf16,
           .classes = {"TrtLlmMxfp4ExpertsMonolithic", "TrtLlmMxfp4ExpertsModular"},
           .sizes = SizeMultiples{256, 256, 256},
           .vendor = flashinfer},
          {.name = cutlass_mxfp8,
           .classes = {"FlashInferExperts"},
           .sizes = SizeMultiples{128, 128, 128},
           .vendor = flashinfer,
           .activation_key = QuantKey::mxfp8_dynamic},
          {.name = cutlass_bf16,
           .classes = {"FlashInferExperts"},
           .sizes = SizeMultiples{128, 128, 128},
           .vendor = flashinfer},
          {.name = "BATCHED_MARLIN",
           .classes = {"BatchedMarlinExperts"},
           .sizes = SizeMultiples{256, 128, 128}},
          {.name = "MARLIN",
           .classes = {"MarlinExperts"},
           .sizes = SizeMultiples{256, 128, 128},
           .batched_twin = "BATCHED_MARLIN"},
          {.name = "AITER", .classes = {"AiterExperts"}, .vendor = aiter, .eras = until_late},
          {.name = "AITER_BF16", .classes = {"AiterExperts"}, .vendor = aiter, .eras = late},
          {.name = "AITER_FP8",
           .classes = {"AiterExperts"},
           .vendor = aiter,
           .activation_key = QuantKey::fp8_static_tensor,
           .eras = late},
          {.name = "AITER_MXFP4",
           .classes = {"AiterExperts"},
           .vendor = aiter,
           .activation_key = QuantKey::mxfp4_dynamic,
           .eras = late},
          {.name = "TRITON", .classes = {"OAITritonMxfp4ExpertsMonolithic", "OAITritonExperts"}},
          {.name = "TRITON_UNFUSED", .classes = {"UnfusedOAITritonExperts"}},
          {.name = "XPU", .classes = {"XPUExpertsMXFp4"}},
          {.name = "HUMMING", .classes = humming_classes, .eras = late, .takes_any_key = true},
          {.name = "EMULATION",
           .classes = {"OCP_MXQuantizationEmulationTritonExperts"},
           .takes_any_key = true}};
}

std::vector<RequestWord> mxfp4_requests() {
  return {{"deep_gemm", "DEEPGEMM_MXFP4", late},
          {"flashinfer_trtllm", trtllm_bf16, until_late},
          {"flashinfer_trtllm", trtllm_bf16, late, false, {trtllm_mxfp8}},
          {"flashinfer_trtllm_afp8", trtllm_mxfp8},
          {"flashinfer_cutlass", cutlass_bf16, until_late},
          {"flashinfer_cutlass", cutlass_bf16, late, false, {cutlass_mxfp8}},
          {"flashinfer_cutlass_afp8", cutlass_mxfp8},
          {"triton", "TRITON"},
          {"triton_unfused", "TRITON_UNFUSED", late},
          {"humming", "HUMMING", late},
          {"marlin", "MARLIN"},
          {"aiter", "AITER", until_late},
          {"aiter", "AITER_BF16", late, false, {"AITER_FP8", "AITER_MXFP4"}},
          {"xpu", "XPU"},
          {"emulation", "EMULATION"}};
}

OracleFamily nvfp4_family() {
  OracleFamily family{.name = OracleFamilyName::nvfp4, .title = "NvFP4 MoE"};
  family.backends = {
      {.name = "FLASHINFER_TRTLLM",
       .classes = {"TrtLlmNvFp4ExpertsMonolithic", "TrtLlmNvFp4ExpertsModular"},
       .vendor = flashinfer},
      {.name = "FLASHINFER_CUTLASS", .classes = {"FlashInferExperts"}, .vendor = flashinfer},
      {.name = "FLASHINFER_CUTEDSL",
       .classes = {"FlashInferCuteDSLExperts"},
       .vendor = flashinfer,
       .batched_twin = "FLASHINFER_CUTEDSL_BATCHED"},
      {.name = "FLASHINFER_CUTEDSL_BATCHED",
       .classes = {"FlashInferCuteDSLBatchedExperts"},
       .vendor = flashinfer,
       .clamps_swiglu = false},
      {.name = "VLLM_CUTLASS", .classes = {"CutlassExpertsFp4"}, .vendor = vllm_cutlass},
      {.name = "MARLIN", .classes = {"MarlinExperts"}, .quant_config = "w4a16"},
      {.name = "EMULATION", .classes = {"Nvfp4QuantizationEmulationTritonExperts"}},
      {.name = "FLASHINFER_B12X",
       .classes = {"FlashInferB12xExperts"},
       .vendor = flashinfer,
       .eras = late,
       .clamps_swiglu = false},
      {.name = "HUMMING", .classes = humming_classes, .eras = late}};
  family.priorities = {{until_late,
                        {},
                        {"FLASHINFER_TRTLLM", "FLASHINFER_CUTEDSL", "FLASHINFER_CUTEDSL_BATCHED",
                         "FLASHINFER_CUTLASS", "VLLM_CUTLASS", "MARLIN", "EMULATION"}},
                       {late,
                        {},
                        {"FLASHINFER_TRTLLM", "FLASHINFER_CUTEDSL", "FLASHINFER_CUTEDSL_BATCHED",
                         "FLASHINFER_CUTLASS", "VLLM_CUTLASS", "MARLIN", "HUMMING", "EMULATION"}}};
  family.requests = {{"cutlass", "VLLM_CUTLASS"},
                     {"flashinfer_trtllm", "FLASHINFER_TRTLLM"},
                     {"flashinfer_cutlass", "FLASHINFER_CUTLASS"},
                     {"flashinfer_cutedsl", "FLASHINFER_CUTEDSL"},
                     {"flashinfer_b12x", "FLASHINFER_B12X", late},
                     {"marlin", "MARLIN"},
                     {"humming", "HUMMING", late},
                     {"emulation", "EMULATION"}};
  // Asked for without a choice, they are tried in another order than auto's.
  family.variables = {{VariableEffect::flashinfer_choice,
                       {"VLLM_USE_FLASHINFER_MOE_FP4"},
                       {"FLASHINFER_TRTLLM", "FLASHINFER_CUTLASS", "FLASHINFER_CUTEDSL",
                        "FLASHINFER_CUTEDSL_BATCHED"},
                       flashinfer,
                       until_late},
                      {VariableEffect::force_on, {"VLLM_TEST_FORCE_FP8_MARLIN"}, {"MARLIN"}}};
  // UNVERIFIED: that batched CuteDSL and B12X are those that do not clamp.
  family.wants_clamps = late;
  family.end.text = "No NvFp4 MoE backend supports the deployment configuration.";
  return family;
}

OracleFamily mxfp4_family() {
  OracleFamily family{.name = OracleFamilyName::mxfp4, .title = "MXFP4 MoE"};
  family.activation_key = QuantKey::none;
  family.backends = mxfp4_backends();
  family.lora = {{.error = "Mxfp4 LoRA only supported on CUDA Platform.", .when = is_lora_off_cuda},
                 {.backend = "TRITON_UNFUSED", .when = is_marlin_switched_off},
                 {.backend = "MARLIN"}};
  family.priorities = {
      {until_late,
       {},
       {trtllm_bf16, "AITER", "TRITON", cutlass_bf16, "TRITON_UNFUSED", "MARLIN", "BATCHED_MARLIN",
        "XPU", "EMULATION"}},
      {late,
       {},
       {trtllm_bf16, trtllm_mxfp8, "AITER_BF16", "AITER_FP8", "AITER_MXFP4", "TRITON", cutlass_bf16,
        cutlass_mxfp8, "MARLIN", "BATCHED_MARLIN", "XPU", "EMULATION"}}};
  family.requests = mxfp4_requests();
  family.variables = {{VariableEffect::by_device,
                       {"VLLM_USE_FLASHINFER_MOE_MXFP4_BF16"},
                       {cutlass_bf16, trtllm_bf16},
                       other,
                       until_late},
                      {VariableEffect::force_on,
                       {"VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8"},
                       {trtllm_mxfp8},
                       other,
                       until_late},
                      {VariableEffect::force_on,
                       {"VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS"},
                       {cutlass_mxfp8},
                       other,
                       until_late},
                      {VariableEffect::force_on, {"VLLM_MXFP4_USE_MARLIN"}, {"MARLIN"}}};
  family.end = {.text = "No MXFP4 MoE backend supports the deployment configuration.",
                .none_on = {OraclePlatform::cpu, OraclePlatform::tpu, OraclePlatform::out_of_tree},
                .last_resort = PlatformAnswer{xpu, "XPU"}};
  family.filters_by_activation = late;
  family.end_lists_reasons = late;
  return family;
}

OracleFamily wna16_family() {
  OracleFamily family{.name = OracleFamilyName::wna16, .title = "WNA16 MoE"};
  family.activation_key = QuantKey::none;
  family.backends = {{.name = "MARLIN", .classes = {"MarlinExperts"}},
                     {.name = "BATCHED_MARLIN", .classes = {"BatchedMarlinExperts"}},
                     {.name = "FLASHINFER_TRTLLM",
                      .classes = {"TrtLlmMxint4ExpertsMonolithic"},
                      .vendor = flashinfer,
                      .eras = late},
                     {.name = "TRITON", .classes = {"TritonWNA16Experts"}, .eras = late},
                     {.name = "HUMMING", .classes = humming_classes, .eras = late},
                     {.name = "EMULATION",
                      .classes = {"Int4EmulationTritonExperts", "Int8EmulationTritonExperts"},
                      .eras = late},
                     {.name = "CPU", .classes = {"CPUExpertsInt4"}, .eras = late},
                     {.name = "XPU", .classes = {"XPUExpertsWNA16"}, .eras = late}};
  family.priorities = {
      {until_late, {}, {"MARLIN", "BATCHED_MARLIN"}},
      {late, cpu, {"CPU"}},
      {late, xpu, {"XPU"}},
      {late,
       {},
       {"FLASHINFER_TRTLLM", "MARLIN", "BATCHED_MARLIN", "TRITON", "HUMMING", "EMULATION"}}};
  family.requests = {{"marlin", "MARLIN", late},
                     {"humming", "HUMMING", late},
                     {"flashinfer_trtllm", "FLASHINFER_TRTLLM", late},
                     {"triton", "TRITON", late},
                     {"emulation", "EMULATION", late}};
  family.ignores_requests = until_late;
  family.goes_on_without_device = late;
  family.end.text = "No WNA16 MoE backend supports the deployment configuration.";
  return family;
}

}  // namespace oracle_rows

std::span<const OracleFamily> all_oracle_families() {
  static const std::array families = {
      oracle_rows::unquantized_family(), oracle_rows::fp8_family(),
      oracle_rows::mxfp8_family(),       oracle_rows::nvfp4_family(),
      oracle_rows::mxfp4_family(),       oracle_rows::int8_family(),
      oracle_rows::wna16_family(),       oracle_rows::mxfp4_generic_family(),
      oracle_rows::w4a8_family(),        oracle_rows::w4a8_int8_family()};
  return families;
}

const OracleFamily& oracle_family(OracleFamilyName name) {
  const OracleFamily& family = all_oracle_families()[static_cast<std::size_t>(name)];
  MOE_CHECK(family.name == name, "families are in the order of their names");
  return family;
}

}  // namespace moe
