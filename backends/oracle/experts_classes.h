// The two halves of the table of experts classes and what their rows share.
// Included by the tables and by experts_class.cc, which joins them.

#pragma once

#include "backends/oracle/experts_class.h"

namespace moe {

std::span<const ExpertsClass> baseline_experts_classes();
// [H]: what vLLM has beside them or in their place since late 2026.
std::span<const ExpertsClass> late_experts_classes();

namespace experts_rows {

inline constexpr EraSpan baseline{Era::v0_9, Era::post_40412};
inline constexpr EraSpan late{Era::late_2026, Era::late_2026};

inline constexpr PlatformSet cuda = {OraclePlatform::cuda};
inline constexpr PlatformSet cuda_alike = {OraclePlatform::cuda, OraclePlatform::rocm};

inline constexpr std::array family_100 = {10};
inline constexpr std::array families_100_120 = {10, 12};
inline constexpr std::array families_100_110_120 = {10, 11, 12};

inline constexpr std::array triton_devices = {DeviceRule{cuda_alike},
                                              DeviceRule{{OraclePlatform::xpu}}};
inline constexpr std::array cuda_alike_devices = {DeviceRule{cuda_alike}};
inline constexpr std::array cuda_75 = {DeviceRule{cuda, {7, 5}}};
inline constexpr std::array sm90 = {DeviceRule{cuda, {9, 0}, {9, 1}}};
inline constexpr std::array sm90_on = {DeviceRule{cuda, {9, 0}}};
inline constexpr std::array sm100_on = {DeviceRule{cuda, {10, 0}}};
inline constexpr std::array blackwell_trtllm = {
    DeviceRule{.platforms = cuda, .majors = family_100, .needs = {Library::flashinfer_trtllm}}};

// UNVERIFIED: that vLLM's grouped GEMM is built for Hopper and SM100 only.
inline constexpr std::array majors_9_10 = {9, 10};
inline constexpr std::array grouped_gemm_devices = {
    DeviceRule{.platforms = cuda, .majors = majors_9_10, .needs = {Library::cutlass_grouped_gemm}}};

// Where the platform has fp8 at all: Ada and later; MI300 and later, of RDNA gfx12.
inline constexpr std::array fp8_devices = {
    DeviceRule{cuda, {8, 9}}, DeviceRule{{OraclePlatform::rocm}, {9, 4}, {10, 0}},
    DeviceRule{{OraclePlatform::rocm}, {12, 0}, {13, 0}}, DeviceRule{{OraclePlatform::xpu}}};

inline constexpr ActivationSet silu_only = {MoEActivation::silu};
inline constexpr ActivationSet silu_relu2 = {MoEActivation::silu, MoEActivation::relu2_no_mul};
inline constexpr ActivationSet silu_gelu_oai = {MoEActivation::silu, MoEActivation::gelu,
                                                MoEActivation::swigluoai};
inline constexpr ActivationSet batched_triton_activations = silu_gelu_oai.with(
    {MoEActivation::silu_no_mul, MoEActivation::gelu_no_mul, MoEActivation::relu2_no_mul});
inline constexpr ActivationSet triton_activations =
    batched_triton_activations.with({MoEActivation::swiglustep});

inline constexpr ParallelLimits no_flashinfer = {ParallelLimit::no_flashinfer_nvlink};
inline constexpr ParallelLimits no_flashinfer_no_ht = {ParallelLimit::no_flashinfer_nvlink,
                                                       ParallelLimit::no_deepep_high_throughput};
inline constexpr ParallelLimits ag_rs_no_eplb = {ParallelLimit::no_all2all_but_ag_rs,
                                                 ParallelLimit::no_eplb};
inline constexpr ParallelLimits no_all2all_no_eplb = {ParallelLimit::no_all2all,
                                                      ParallelLimit::no_eplb};
inline constexpr ParallelLimits alone = {ParallelLimit::no_all2all, ParallelLimit::no_eplb,
                                         ParallelLimit::dp_size_1};

inline constexpr RoutingSet renormalizing = {RoutingMethod::renormalize,
                                             RoutingMethod::renormalize_naive};

inline constexpr SchemeRule fp8_block{QuantKey::fp8_static_128_block, QuantKey::fp8_dynamic_128};
inline constexpr SchemeRule fp8_tensor{QuantKey::fp8_static_tensor, QuantKey::fp8_static_tensor};
inline constexpr SchemeRule fp8_tensor_dynamic{QuantKey::fp8_static_tensor,
                                               QuantKey::fp8_dynamic_tensor};
inline constexpr SchemeRule fp8_tensor_token{QuantKey::fp8_static_tensor,
                                             QuantKey::fp8_dynamic_token};
inline constexpr SchemeRule fp8_channel_token{QuantKey::fp8_static_channel,
                                              QuantKey::fp8_dynamic_token};

constexpr SchemeRule on(SchemeRule scheme, std::span<const DeviceRule> devices) {
  scheme.devices = devices;
  return scheme;
}
constexpr SchemeRule with_routing(SchemeRule scheme, RoutingSet routing) {
  scheme.routing = routing;
  return scheme;
}
constexpr SchemeRule weights(QuantKey weight) { return {.weight = weight, .any_activation = true}; }

inline constexpr SchemeRule mxfp8{QuantKey::mxfp8_static, QuantKey::mxfp8_dynamic};
inline constexpr RoutingSet trtllm_bf16_routing =
    renormalizing.with({RoutingMethod::deepseek_v3, RoutingMethod::llama4});
inline constexpr RoutingSet trtllm_block_routing =
    renormalizing.with({RoutingMethod::deepseek_v3, RoutingMethod::simulated});
inline constexpr RoutingSet trtllm_tensor_routing =
    trtllm_block_routing.with({RoutingMethod::llama4});

inline constexpr std::array deep_gemm_devices = {
    DeviceRule{.platforms = cuda, .least = {9, 0}, .below = {9, 1}, .needs = {Library::deep_gemm}},
    DeviceRule{.platforms = cuda, .majors = family_100, .needs = {Library::deep_gemm}}};

// On ROCm gfx9's numbers fall into the span too.
inline constexpr std::array triton_kernels_devices = {
    DeviceRule{cuda_alike, {9, 0}, {11, 0}, {}, {Library::triton_kernels}}};

inline constexpr std::array aiter_devices = {DeviceRule{
    .platforms = {OraclePlatform::rocm}, .needs = {Library::aiter}, .needs_aiter_variables = true}};
inline constexpr std::array gfx950 = {DeviceRule{{OraclePlatform::rocm}, {9, 5}, {9, 6}}};
inline constexpr std::array xpu_devices = {DeviceRule{{OraclePlatform::xpu}}};
inline constexpr std::array trtllm_fp8_modular_schemes = {fp8_block, mxfp8};

inline constexpr ActivationSet oai_only = {MoEActivation::swigluoai};

inline constexpr std::array nvfp4 = {SchemeRule{QuantKey::nvfp4_static, QuantKey::nvfp4_dynamic}};
inline constexpr std::array mxfp4_weights = {SchemeRule{QuantKey::mxfp4_static}};
inline constexpr std::array mxfp4_bf16_mxfp8 = {
    SchemeRule{QuantKey::mxfp4_static},
    SchemeRule{QuantKey::mxfp4_static, QuantKey::mxfp8_dynamic}};

inline constexpr std::array flashinfer_cutlass_schemes = {
    SchemeRule{},
    on(fp8_tensor, sm90_on),
    on(SchemeRule{QuantKey::mxfp4_static}, sm90),
    on(fp8_block, sm90),
    on(SchemeRule{QuantKey::mxfp4_static, QuantKey::mxfp8_dynamic}, sm100_on),
    on(SchemeRule{QuantKey::nvfp4_static, QuantKey::nvfp4_dynamic}, sm100_on)};

}  // namespace experts_rows

}  // namespace moe
