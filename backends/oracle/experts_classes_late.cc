// [H]: the experts classes that came or changed by late 2026 (experts-and-oracles.md, 6.2 and 7).
// The page gives names, orders and changes of the oracles there, not a matrix of classes.
// UNVERIFIED, therefore, in every row that the page's matrix does not have: the capabilities are
// those that the class's kind has elsewhere (Humming as Marlin, emulations as Triton, CPU and XPU
// by platform), and the names of the fp8 and int emulations follow their neighbours'.

#include "backends/oracle/experts_classes.h"

namespace moe {
namespace {

using namespace experts_rows;
using enum ActivationFormat;
using enum ExpertsReduce;

// #40808 dropped SM110.
constexpr std::array flashinfer_cutlass_devices = {
    DeviceRule{.platforms = cuda,
               .least = {9, 0},
               .below = {9, 1},
               .needs = {Library::flashinfer_cutlass}},
    DeviceRule{
        .platforms = cuda, .majors = families_100_120, .needs = {Library::flashinfer_cutlass}}};
// #44347: more routing methods, and logits of both types with each of them.
constexpr RoutingSet sigmoid_kinds = {RoutingMethod::sigmoid_renorm, RoutingMethod::sigmoid,
                                      RoutingMethod::minimax2};
constexpr RoutingSet late_bf16_routing = trtllm_bf16_routing.with(sigmoid_kinds);
constexpr RoutingSet late_block_routing = trtllm_block_routing.with(sigmoid_kinds);
constexpr RoutingSet late_tensor_routing = trtllm_tensor_routing.with(sigmoid_kinds);
constexpr RoutingSet late_mxfp4_routing = renormalizing.with(sigmoid_kinds);
constexpr std::array unquantised = {SchemeRule{}};
constexpr std::array bf16_schemes = {with_routing(SchemeRule{}, late_bf16_routing)};
constexpr std::array fp8_schemes = {with_routing(fp8_block, late_block_routing),
                                    with_routing(mxfp8, late_block_routing),
                                    with_routing(fp8_tensor, late_tensor_routing)};
constexpr std::array nvfp4_schemes = {
    with_routing({QuantKey::nvfp4_static, QuantKey::nvfp4_dynamic}, late_tensor_routing)};
constexpr std::array mxfp4_schemes = {
    with_routing(SchemeRule{QuantKey::mxfp4_static}, late_mxfp4_routing),
    with_routing({QuantKey::mxfp4_static, QuantKey::mxfp8_dynamic}, late_mxfp4_routing)};
// DeepSeek-V4 has silu with a limit of its own, and its oracle asks TRTLLM first.
constexpr ActivationSet late_mxfp4_activations = {MoEActivation::silu, MoEActivation::swigluoai};
constexpr std::array deep_gemm_mxfp4_schemes = {
    SchemeRule{QuantKey::mxfp4_static, QuantKey::fp8_dynamic_128}};
constexpr std::array w4a8_schemes = {
    SchemeRule{QuantKey::int4_static, QuantKey::fp8_dynamic_token}};
constexpr std::array w4a8_int8_schemes = {with_routing(
    SchemeRule{QuantKey::int4_w4a8_static}, renormalizing.with({RoutingMethod::softmax_over_all}))};
constexpr std::array oai_schemes = {
    with_routing(SchemeRule{QuantKey::mxfp4_static}, renormalizing)};
constexpr std::array mxint4_schemes = {
    with_routing(SchemeRule{QuantKey::int4_static}, trtllm_bf16_routing)};

constexpr std::array deep_gemm_mxfp8_devices = {
    DeviceRule{.platforms = cuda, .majors = family_100}};
constexpr std::array deep_gemm_mxfp4_devices = {
    DeviceRule{.platforms = cuda, .majors = family_100, .needs = {Library::deep_gemm}}};
constexpr std::array deep_gemm_schemes = {fp8_block, on(mxfp8, deep_gemm_mxfp8_devices)};

constexpr std::array late_aiter_schemes = {
    SchemeRule{},
    fp8_block,
    fp8_tensor,
    fp8_tensor_dynamic,
    fp8_channel_token,
    on(mxfp8, gfx950),
    on(SchemeRule{QuantKey::mxfp4_static}, gfx950),
    on(SchemeRule{QuantKey::mxfp4_static, QuantKey::fp8_static_tensor}, gfx950),
    on(SchemeRule{QuantKey::mxfp4_static, QuantKey::mxfp4_dynamic}, gfx950)};

constexpr std::array humming_devices = {
    DeviceRule{.platforms = cuda, .least = {7, 5}, .needs = {Library::humming}}};
constexpr std::array any_scheme = {SchemeRule{.any_activation = true, .any_weight = true}};
constexpr std::array hpc_devices = {
    DeviceRule{.platforms = cuda, .least = {9, 0}, .below = {9, 1}, .needs = {Library::hpc}}};
constexpr std::array hpc_schemes = {fp8_block, fp8_tensor};
constexpr std::array major_12 = {12};
constexpr std::array b12x_devices = {
    DeviceRule{.platforms = cuda, .majors = major_12, .needs = {Library::flashinfer_b12x}}};

constexpr std::array cpu_devices = {DeviceRule{{OraclePlatform::cpu}}};
constexpr std::array block_schemes = {fp8_block};
constexpr std::array int8_schemes = {
    SchemeRule{QuantKey::int8_static_channel, QuantKey::int8_dynamic_token}};
constexpr std::array int4_weights = {SchemeRule{QuantKey::int4_static}};
constexpr std::array int8_weights = {SchemeRule{QuantKey::int8_static}};
constexpr std::array int_weights = {SchemeRule{QuantKey::int4_static},
                                    SchemeRule{QuantKey::int8_static}};
constexpr std::array mxfp8_schemes = {mxfp8};
constexpr std::array fp8_weights = {weights(QuantKey::fp8_static_128_block),
                                    weights(QuantKey::fp8_static_channel),
                                    weights(QuantKey::fp8_static_tensor)};

// As Triton's row: its kernels under another reading of the weights.
constexpr ExpertsClass on_triton(std::string_view name, std::span<const SchemeRule> schemes) {
  return {.name = name,
          .eras = late,
          .devices = triton_devices,
          .schemes = schemes,
          .activations = triton_activations,
          .no_act_and_mul = true,
          .parallel = no_flashinfer,
          .batch_invariant = true,
          .expert_map = true};
}

constexpr ExpertsClass on_humming(std::string_view name, ActivationFormat format) {
  return {.name = name,
          .eras = late,
          .format = format,
          .devices = humming_devices,
          .schemes = any_scheme,
          .activations = triton_activations,
          .no_act_and_mul = true,
          .parallel = no_flashinfer,
          .expert_map = true,
          .reduce = format == standard ? no_op : delegate};
}

constexpr ExpertsClass on_platform(std::string_view name, std::span<const DeviceRule> devices,
                                   std::span<const SchemeRule> schemes) {
  return {.name = name,
          .eras = late,
          .devices = devices,
          .schemes = schemes,
          .activations = silu_gelu_oai,
          .expert_map = true};
}

constexpr std::array rows = {
    ExpertsClass{.name = "FlashInferExperts",
                 .eras = late,
                 .devices = flashinfer_cutlass_devices,
                 .schemes = flashinfer_cutlass_schemes,
                 .activations = silu_relu2.with({MoEActivation::swigluoai}),
                 .no_act_and_mul = true},
    ExpertsClass{.name = "DeepGemmExperts",
                 .eras = late,
                 .devices = deep_gemm_devices,
                 .schemes = deep_gemm_schemes,
                 .activations = {MoEActivation::silu, MoEActivation::swiglustep},
                 .parallel = no_flashinfer,
                 .expert_map = true},
    ExpertsClass{.name = "AiterExperts",
                 .eras = late,
                 .devices = aiter_devices,
                 .schemes = late_aiter_schemes,
                 .activations = silu_gelu_oai,
                 .parallel = no_flashinfer,
                 .expert_map = true},
    ExpertsClass{.name = "TrtLlmBf16ExpertsMonolithic",
                 .eras = late,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = bf16_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = ag_rs_no_eplb,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmBf16ExpertsModular",
                 .eras = late,
                 .devices = blackwell_trtllm,
                 .schemes = unquantised,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = {ParallelLimit::all2all_other_than_ag_rs, ParallelLimit::no_eplb}},
    // UNVERIFIED: it must take DeepEP V2, or the oracle would not put it first there (7.2).
    ExpertsClass{.name = "TrtLlmFp8ExpertsModular",
                 .eras = late,
                 .devices = blackwell_trtllm,
                 .schemes = trtllm_fp8_modular_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = {ParallelLimit::no_eplb}},
    ExpertsClass{.name = "TrtLlmFp8ExpertsMonolithic",
                 .eras = late,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = fp8_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = ag_rs_no_eplb,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmNvFp4ExpertsMonolithic",
                 .eras = late,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = nvfp4_schemes,
                 .activations = silu_relu2,
                 .no_act_and_mul = true,
                 .parallel = no_all2all_no_eplb,
                 .hidden_multiple = 512,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmMxfp4ExpertsMonolithic",
                 .eras = late,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = mxfp4_schemes,
                 .activations = late_mxfp4_activations,
                 .parallel = alone,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmMxfp4ExpertsModular",
                 .eras = late,
                 .devices = blackwell_trtllm,
                 .schemes = mxfp4_bf16_mxfp8,
                 .activations = late_mxfp4_activations,
                 .expert_map = true},
    // deep_gemm_moe.py. UNVERIFIED: that SM120, which it takes later, is not there yet.
    ExpertsClass{.name = "DeepGemmFP4Experts",
                 .eras = late,
                 .devices = deep_gemm_mxfp4_devices,
                 .schemes = deep_gemm_mxfp4_schemes,
                 .activations = {MoEActivation::silu, MoEActivation::swiglustep},
                 .parallel = no_flashinfer,
                 .expert_map = true},
    // cutlass_moe.py; it asks for the sizes after all else.
    ExpertsClass{.name = "CutlassExpertsW4A8Fp8",
                 .eras = late,
                 .devices = grouped_gemm_devices,
                 .schemes = w4a8_schemes,
                 .activations = silu_gelu_oai,
                 .hidden_multiple = 256,
                 .intermediate_multiple = 256,
                 .expert_map = true},
    // CPUExpertsInt4 of cpu_int4_moe.py, a name that vLLM has twice. It wants an Arm CPU, which a
    // deployment here does not say.
    ExpertsClass{
        .name = "CPUExpertsInt4W4A8",
        .eras = late,
        .is_monolithic = true,
        .devices = cpu_devices,
        .schemes = w4a8_int8_schemes,
        .activations = {MoEActivation::silu, MoEActivation::swigluoai, MoEActivation::swiglustep},
        .parallel = {ParallelLimit::ep_size_1},
        .reduce = in_kernel},
    ExpertsClass{.name = "OAITritonMxfp4ExpertsMonolithic",
                 .eras = late,
                 .is_monolithic = true,
                 .devices = triton_kernels_devices,
                 .schemes = oai_schemes,
                 .activations = oai_only,
                 .parallel = alone,
                 .expert_map = true,
                 .reduce = in_kernel},
    ExpertsClass{.name = "TrtLlmMxint4ExpertsMonolithic",
                 .eras = late,
                 .is_monolithic = true,
                 .devices = blackwell_trtllm,
                 .schemes = mxint4_schemes,
                 .activations = silu_only,
                 .parallel = no_all2all_no_eplb,
                 .reduce = in_kernel},
    ExpertsClass{.name = "FlashInferB12xExperts",
                 .eras = late,
                 .devices = b12x_devices,
                 .schemes = nvfp4,
                 .activations = silu_relu2,
                 .no_act_and_mul = true},
    ExpertsClass{.name = "HpcExperts",
                 .eras = late,
                 .devices = hpc_devices,
                 .schemes = hpc_schemes,
                 .activations = silu_only,
                 .hidden_multiple = 128,
                 .takes_bias = false},
    on_humming("BatchedHummingGroupedExperts", batched_experts),
    on_humming("HummingGroupedExperts", standard),
    on_humming("HummingIndexedExperts", standard),
    on_triton("TritonMxfp8Experts", mxfp8_schemes),
    on_triton("TritonWNA16Experts", int_weights),
    on_triton("Fp8EmulationTritonExperts", fp8_weights),
    on_triton("Int4EmulationTritonExperts", int4_weights),
    on_triton("Int8EmulationTritonExperts", int8_weights),
    on_platform("CPUExpertsFp8", cpu_devices, block_schemes),
    on_platform("CPUExpertsInt8", cpu_devices, int8_schemes),
    on_platform("CPUExpertsInt4", cpu_devices, int4_weights),
    on_platform("XPUExpertsMxfp8", xpu_devices, mxfp8_schemes),
    on_platform("XPUExpertsWNA16", xpu_devices, int_weights),
};

}  // namespace

std::span<const ExpertsClass> late_experts_classes() { return rows; }

}  // namespace moe
