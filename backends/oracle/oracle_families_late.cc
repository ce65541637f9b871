// The rows of the oracles that vLLM has since late 2026 beside its seven (experts-and-oracles.md,
// 7.5 and 7.6, [H]): mxfp4 for other models than gpt-oss, of which DeepSeek-V4 was the first, and
// 4-bit weights under 8-bit rows.
// UNVERIFIED beyond the page's orders: ROCm's list, whose one backend vLLM had in mid 2026; that
// mxfp4_generic has no LoRA branch and that its words are gpt-oss's (oracle/mxfp4.py has one
// mapping); the words of the errors.

#include "backends/oracle/oracle_families.h"

namespace moe::oracle_rows {

OracleFamily mxfp4_generic_family() {
  OracleFamily family{.name = OracleFamilyName::mxfp4_generic, .title = "MXFP4 MoE"};
  family.activation_key = QuantKey::none;
  family.backends = mxfp4_backends();
  family.priorities = {
      {late, rocm, {"AITER_BF16"}},
      {late, {}, {"FLASHINFER_TRTLLM_MXFP4_MXFP8", "DEEPGEMM_MXFP4", "MARLIN", "BATCHED_MARLIN"}}};
  family.requests = mxfp4_requests();
  family.filters_by_activation = late;
  family.end.text = "No MXFP4 MoE backend supports the deployment configuration.";
  family.end_lists_reasons = late;
  return family;
}

// Nobody reads moe_backend here.
OracleFamily w4a8_family() {
  OracleFamily family{.name = OracleFamilyName::w4a8, .title = "W4A8 MoE"};
  family.backends = {{.name = "CUTLASS",
                      .classes = {"CutlassExpertsW4A8Fp8"},
                      .vendor = KernelVendor::vllm_cutlass,
                      .eras = late}};
  family.priorities = {{late, {}, {"CUTLASS"}}};
  family.ignores_requests = late;
  family.end = {.text = "W4A8 MoE backend CUTLASS does not support the deployment configuration",
                .says_last_reason = true};
  return family;
}

OracleFamily w4a8_int8_family() {
  OracleFamily family{.name = OracleFamilyName::w4a8_int8, .title = "W4A8 Int8 MoE"};
  family.backends = {{.name = "CPU_INT4", .classes = {"CPUExpertsInt4W4A8"}, .eras = late}};
  family.platforms = {{{OraclePlatform::cuda, OraclePlatform::rocm, OraclePlatform::xpu,
                        OraclePlatform::tpu, OraclePlatform::out_of_tree},
                       "",
                       "W4A8 Int8 MoE is only supported on CPU platforms"}};
  family.priorities = {{late, cpu, {"CPU_INT4"}}};
  family.requests = {{"cpu", "CPU_INT4", late}};
  family.end.text = "No W4A8 Int8 MoE backend supports the deployment configuration.";
  return family;
}

}  // namespace moe::oracle_rows
