// The words in which vLLM's backend oracles are asked: platforms, libraries, quantisation keys,
// activations, routing methods (experts-and-oracles.md, 1.3, 1.4, 7.8). Enums and their names only;
// what a deployment is made of them is experts_deployment.h.

#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "backends/config/era.h"
#include "backends/oracle/enum_set.h"

namespace moe {

// The oracles know two platforms more than the distribution layer: tpu, and plugins out of the
// tree.
enum class OraclePlatform { cuda, rocm, cpu, xpu, tpu, out_of_tree };
using PlatformSet = EnumSet<OraclePlatform>;
std::string_view name_of(OraclePlatform platform);
std::span<const OraclePlatform> all_oracle_platforms();

// cuda: the compute capability. rocm: gfx942 is 9.4, gfx950 is 9.5, gfx1201 is 12.0, as torch says.
struct DeviceCapability {
  int major = 0;
  int minor = 0;
  constexpr auto operator<=>(const DeviceCapability&) const = default;
};

// What is installed beside vLLM. The last three are not in its images.
enum class Library {
  flashinfer_cutlass,
  flashinfer_trtllm,
  flashinfer_cutedsl,
  deep_gemm,
  triton_kernels,
  cutlass_grouped_gemm,  // vLLM's own kernels, built for this device
  aiter,
  humming,
  hpc,
  flashinfer_b12x
};
using LibrarySet = EnumSet<Library>;
std::string_view name_of(Library library);
std::span<const Library> all_libraries();

// A tensor's numbers and the grouping of their scales. none: not quantised.
enum class QuantKey {
  none,
  fp8_static_tensor,
  fp8_dynamic_tensor,
  fp8_static_channel,
  fp8_dynamic_token,
  fp8_static_128_block,
  fp8_dynamic_128,
  nvfp4_static,
  nvfp4_dynamic,
  mxfp4_static,
  mxfp4_dynamic,
  mxfp8_static,
  mxfp8_dynamic,
  int4_static,
  int8_static,
  int8_static_channel,
  int8_dynamic_token,
  int4_w4a8_static  // late 2026: 4-bit weights under rows that the kernel makes int8
};
std::string_view name_of(QuantKey key);  // vLLM's: "kFp8Static128BlockSym", "None"

// no_mul: not gated, w13 has one projection.
enum class MoEActivation {
  silu,
  gelu,
  swigluoai,
  swiglustep,
  relu2,
  silu_no_mul,
  gelu_no_mul,
  relu2_no_mul
};
using ActivationSet = EnumSet<MoEActivation>;
std::string_view name_of(MoEActivation activation);
std::span<const MoEActivation> all_moe_activations();
bool is_act_and_mul(MoEActivation activation);

// By name: upstream's integers for them changed (experts-and-oracles.md, trap 12).
enum class RoutingMethod {
  softmax_over_all,  // Default
  renormalize,
  deepseek_v3,
  llama4,
  renormalize_naive,
  topk,
  custom,
  simulated,
  unspecified,
  sigmoid_renorm,
  minimax2,
  sigmoid,
  deepseek_v4
};
using RoutingSet = EnumSet<RoutingMethod>;
std::string_view name_of(RoutingMethod method);
std::span<const RoutingMethod> all_routing_methods();
bool has_routing_method(const Profile& profile, RoutingMethod method);

// What a model says of its router, from which vLLM derives the method.
enum class RouterKind {
  softmax_renormalize,
  softmax,
  sigmoid_bias_groups,  // DeepSeek-V3
  sigmoid_bias,         // without groups, renormalised, scale 1
  sigmoid_bias_scaled,  // the same with a scale
  sigmoid_top_1,        // Llama-4
  sigmoid_renormalize,
  sigmoid,
  custom,
  simulated
};
std::string_view name_of(RouterKind router);
std::span<const RouterKind> all_router_kinds();
// #43223 and #44347 changed the answers.
RoutingMethod routing_method_of(const Profile& profile, RouterKind router);

// Which oracle is asked. mxfp4 is gpt-oss's, mxfp4_generic everybody else's (late 2026).
enum class OracleFamilyName {
  unquantized,
  fp8,
  mxfp8,
  nvfp4,
  mxfp4,
  int8,
  wna16,
  mxfp4_generic,
  w4a8,
  w4a8_int8
};
std::string_view name_of(OracleFamilyName family);

// A quantisation as a deployment says it: which oracle, with which keys.
struct QuantScheme {
  std::string_view name;
  OracleFamilyName family = OracleFamilyName::unquantized;
  QuantKey weight = QuantKey::none;
  QuantKey activation = QuantKey::none;
  EraSpan eras = {};  // in which an oracle is asked about it
};
std::span<const QuantScheme> all_quant_schemes();
std::vector<QuantScheme> quant_schemes_in(const Profile& profile);

}  // namespace moe
