// The experts classes of the baseline, row by row as in experts-and-oracles.md, 6.2. Rows that are
// the same in late 2026 last; those that changed then end at post-40412 and go on in
// experts_classes_late.cc.
// UNVERIFIED: earlier profiles than post-40412 take these rows too (SM121 was shut out of
// FlashInfer CUTLASS between #39825 and #39959, a window that no profile stands for); TRTLLM
// nvfp4's multiple of 512 is recalled from its class, the page has no shapes.

#include "backends/oracle/experts_classes.h"

namespace moe {
namespace {

using namespace experts_rows;
using enum ActivationFormat;
using enum ExpertsReduce;

constexpr std::array triton_schemes = {
    SchemeRule{},
    // The class takes int8 rows here and refuses them when it runs (#51411).
    SchemeRule{QuantKey::int8_static_channel, QuantKey::int8_dynamic_token, false, false, cuda_75},
    on(fp8_block, fp8_devices), on(fp8_channel_token, fp8_devices),
    on(fp8_tensor_token, fp8_devices), on(fp8_tensor, fp8_devices),
    on(fp8_tensor_dynamic, fp8_devices)};

constexpr std::array batched_fp8_devices = {DeviceRule{cuda, {8, 9}},
                                            DeviceRule{{OraclePlatform::rocm}, {9, 0}, {10, 0}}};
constexpr std::array batched_triton_schemes = {SchemeRule{},
                                               on(fp8_block, batched_fp8_devices),
                                               on(fp8_channel_token, batched_fp8_devices),
                                               on(fp8_tensor_token, batched_fp8_devices),
                                               on(fp8_tensor, batched_fp8_devices),
                                               on(fp8_tensor_dynamic, batched_fp8_devices)};

constexpr std::array marlin_schemes = {
    weights(QuantKey::fp8_static_128_block), weights(QuantKey::fp8_static_channel),
    weights(QuantKey::fp8_static_tensor),    weights(QuantKey::mxfp4_static),
    weights(QuantKey::mxfp8_static),         weights(QuantKey::nvfp4_static),
    weights(QuantKey::int4_static),          weights(QuantKey::int8_static)};

constexpr std::array deep_gemm_schemes = {fp8_block};

constexpr std::array cutlass_fp8_schemes = {fp8_channel_token, fp8_tensor_dynamic, fp8_tensor};

constexpr std::array cutlass_fp4_devices = {
    DeviceRule{.platforms = cuda, .majors = families_100_110_120}};
constexpr std::array cutlass_mxfp4_devices = {DeviceRule{.platforms = cuda, .majors = family_100}};
constexpr std::array mxfp4_both = {SchemeRule{QuantKey::mxfp4_static, QuantKey::mxfp4_dynamic}};

constexpr std::array flashinfer_cutlass_devices = {
    DeviceRule{.platforms = cuda,
               .least = {9, 0},
               .below = {9, 1},
               .needs = {Library::flashinfer_cutlass}},
    DeviceRule{
        .platforms = cuda, .majors = families_100_110_120, .needs = {Library::flashinfer_cutlass}}};
constexpr std::array cutedsl_devices = {
    DeviceRule{.platforms = cuda, .majors = family_100, .needs = {Library::flashinfer_cutedsl}}};

constexpr RoutingSet trtllm_float32 = {RoutingMethod::deepseek_v3, RoutingMethod::simulated};

constexpr std::array trtllm_bf16_schemes = {with_routing(SchemeRule{}, trtllm_bf16_routing)};
constexpr std::array trtllm_fp8_monolithic_schemes = {
    with_routing(fp8_block, trtllm_block_routing), with_routing(mxfp8, trtllm_block_routing),
    with_routing(fp8_tensor, trtllm_tensor_routing)};
constexpr std::array trtllm_nvfp4_monolithic_schemes = {
    with_routing({QuantKey::nvfp4_static, QuantKey::nvfp4_dynamic}, trtllm_tensor_routing)};
constexpr std::array monolithic_mxfp4_bf16_mxfp8 = {
    with_routing(SchemeRule{QuantKey::mxfp4_static}, renormalizing),
    with_routing({QuantKey::mxfp4_static, QuantKey::mxfp8_dynamic}, renormalizing)};
constexpr std::array monolithic_mxfp4 = {
    with_routing(SchemeRule{QuantKey::mxfp4_static}, renormalizing)};

constexpr ActivationSet unfused_activations = silu_gelu_oai.with({MoEActivation::swiglustep});

constexpr std::array aiter_schemes = {
    SchemeRule{},
    fp8_block,
    fp8_tensor,
    fp8_tensor_dynamic,
    fp8_channel_token,
    on(SchemeRule{QuantKey::mxfp4_static}, gfx950),
    on(SchemeRule{QuantKey::mxfp4_static, QuantKey::mxfp4_dynamic}, gfx950)};

constexpr std::array xpu_schemes = {SchemeRule{}, SchemeRule{QuantKey::fp8_static_tensor},
                                    fp8_tensor_dynamic};
constexpr std::array any_scheme = {SchemeRule{.any_activation = true, .any_weight = true}};

constexpr std::array rows = {
    ExpertsClass{.name = "TritonExperts",
                 .devices = triton_devices,
                 .schemes = triton_schemes,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = no_flashinfer,
                 .batch_invariant = true,
                 .expert_map = true},
    ExpertsClass{.name = "BatchedTritonExperts",
                 .format = batched_experts,
                 .devices = cuda_alike_devices,
                 .schemes = batched_triton_schemes,
                 .activations = batched_triton_activations,
                 .no_act_and_mul = true,
                 .batch_invariant = true,
                 .reduce = delegate},
    ExpertsClass{.name = "MarlinExperts",
                 .devices = cuda_75,
                 .schemes = marlin_schemes,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = no_flashinfer,
                 .expert_map = true},
    ExpertsClass{.name = "BatchedMarlinExperts",
                 .format = batched_experts,
                 .devices = cuda_75,
                 .schemes = marlin_schemes,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = no_flashinfer,
                 .expert_map = true,
                 .reduce = delegate},
    ExpertsClass{.name = "DeepGemmExperts",
                 .eras = baseline,
                 .devices = deep_gemm_devices,
                 .schemes = deep_gemm_schemes,
                 .activations = {MoEActivation::silu, MoEActivation::swiglustep},
                 .parallel = no_flashinfer,
                 .expert_map = true},
    ExpertsClass{.name = "TritonOrDeepGemmExperts",
                 .expert_map = true,
                 .parts = {"TritonExperts", "DeepGemmExperts"}},
    ExpertsClass{.name = "BatchedDeepGemmExperts",
                 .format = batched_experts,
                 .devices = deep_gemm_devices,
                 .schemes = deep_gemm_schemes,
                 .activations = silu_only,
                 .reduce = delegate},
    ExpertsClass{.name = "CutlassExpertsFp8",
                 .devices = grouped_gemm_devices,
                 .schemes = cutlass_fp8_schemes,
                 .activations = silu_gelu_oai,
                 .parallel = no_flashinfer_no_ht},
    ExpertsClass{.name = "CutlassBatchedExpertsFp8",
                 .format = batched_experts,
                 .devices = grouped_gemm_devices,
                 .schemes = cutlass_fp8_schemes,
                 .activations = silu_gelu_oai,
                 .reduce = delegate},
    ExpertsClass{.name = "TritonOrCutlassExperts", .parts = {"TritonExperts", "CutlassExpertsFp8"}},
    ExpertsClass{.name = "CutlassExpertsFp4",
                 .devices = cutlass_fp4_devices,
                 .schemes = nvfp4,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = {ParallelLimit::ep_size_1}},
    ExpertsClass{.name = "CutlassExpertsMxfp4",
                 .devices = cutlass_mxfp4_devices,
                 .schemes = mxfp4_both,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = {ParallelLimit::ep_size_1},
                 .not_wired = "no oracle has it among its backends"},
    ExpertsClass{.name = "CutlassExpertsW4A8Fp8",
                 .eras = baseline,
                 .not_wired = "no oracle asks it: its predicates raise"},
    ExpertsClass{.name = "TritonWNA16Experts",
                 .eras = baseline,
                 .not_wired = "no oracle asks it: its predicates raise"},
    ExpertsClass{.name = "NaiveBatchedExperts",
                 .format = batched_experts,
                 .reduce = delegate,
                 .not_wired = "no oracle asks it: its predicates raise"},
    ExpertsClass{.name = "FlashInferExperts",
                 .eras = baseline,
                 .devices = flashinfer_cutlass_devices,
                 .schemes = flashinfer_cutlass_schemes,
                 .activations = silu_relu2.with({MoEActivation::swigluoai}),
                 .no_act_and_mul = true},
    ExpertsClass{.name = "FlashInferCuteDSLExperts",
                 .devices = cutedsl_devices,
                 .schemes = nvfp4,
                 .activations = silu_only},
    ExpertsClass{.name = "FlashInferCuteDSLBatchedExperts",
                 .format = batched_experts,
                 .devices = cutedsl_devices,
                 .schemes = nvfp4,
                 .activations = silu_only,
                 .reduce = delegate},
    ExpertsClass{.name = "TrtLlmBf16Experts",
                 .eras = baseline,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = trtllm_bf16_schemes,
                 .activations = silu_only,
                 .parallel = ag_rs_no_eplb,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmFp8ExpertsModular",
                 .eras = baseline,
                 .devices = blackwell_trtllm,
                 .schemes = trtllm_fp8_modular_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = ag_rs_no_eplb},
    ExpertsClass{.name = "TrtLlmFp8ExpertsMonolithic",
                 .eras = baseline,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = trtllm_fp8_monolithic_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = ag_rs_no_eplb,
                 .float32_logits = trtllm_float32,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmNvFp4ExpertsModular",
                 .devices = blackwell_trtllm,
                 .schemes = nvfp4,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .hidden_multiple = 512},
    ExpertsClass{.name = "TrtLlmNvFp4ExpertsMonolithic",
                 .eras = baseline,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = trtllm_nvfp4_monolithic_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = no_all2all_no_eplb,
                 .float32_logits = trtllm_float32,
                 .hidden_multiple = 512,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmMxfp4ExpertsModular",
                 .eras = baseline,
                 .devices = blackwell_trtllm,
                 .schemes = mxfp4_bf16_mxfp8,
                 .activations = oai_only,
                 .expert_map = true},
    ExpertsClass{.name = "TrtLlmMxfp4ExpertsMonolithic",
                 .eras = baseline,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = monolithic_mxfp4_bf16_mxfp8,
                 .activations = oai_only,
                 .parallel = alone,
                 .reduce = in_kernel},
    ExpertsClass{.name = "OAITritonExperts",
                 .devices = triton_kernels_devices,
                 .schemes = mxfp4_weights,
                 .activations = oai_only,
                 .expert_map = true},
    ExpertsClass{.name = "OAITritonMxfp4ExpertsMonolithic",
                 .eras = baseline,
                 .is_monolithic = true,
                 .devices = triton_kernels_devices,
                 .schemes = monolithic_mxfp4,
                 .activations = oai_only,
                 .parallel = alone,
                 .expert_map = true,
                 .reduce = in_kernel},
    ExpertsClass{.name = "UnfusedOAITritonExperts",
                 .devices = triton_kernels_devices,
                 .schemes = mxfp4_weights,
                 .activations = unfused_activations,
                 .expert_map = true},
    ExpertsClass{.name = "AiterExperts",
                 .eras = baseline,
                 .devices = aiter_devices,
                 .schemes = aiter_schemes,
                 .activations = silu_gelu_oai,
                 .parallel = no_flashinfer,
                 .expert_map = true},
    ExpertsClass{.name = "XPUExperts",
                 .devices = xpu_devices,
                 .schemes = xpu_schemes,
                 .activations = silu_gelu_oai,
                 .expert_map = true},
    ExpertsClass{.name = "XPUExpertsFp8",
                 .devices = xpu_devices,
                 .schemes = xpu_schemes,
                 .activations = silu_gelu_oai,
                 .expert_map = true},
    ExpertsClass{.name = "XPUExpertsMXFp4",
                 .devices = xpu_devices,
                 .schemes = mxfp4_weights,
                 .activations = silu_gelu_oai,
                 .expert_map = true},
    ExpertsClass{.name = "Nvfp4QuantizationEmulationTritonExperts",
                 .devices = triton_devices,
                 .schemes = nvfp4,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = no_flashinfer,
                 .batch_invariant = true,
                 .expert_map = true},
    ExpertsClass{.name = "OCP_MXQuantizationEmulationTritonExperts",
                 .devices = triton_devices,
                 .schemes = any_scheme,
                 .activations = triton_activations,
                 .no_act_and_mul = true,
                 .parallel = no_flashinfer,
                 .batch_invariant = true,
                 .expert_map = true},
};

}  // namespace

std::span<const ExpertsClass> baseline_experts_classes() { return rows; }

}  // namespace moe
