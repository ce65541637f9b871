// The names, and the derivation of a routing method from what a model says of its router.
// vLLM's words where vLLM has one.

#include "backends/oracle/deployment_words.h"

#include <array>

namespace moe {
namespace {

template <typename Enum, std::size_t n>
constexpr std::array<Enum, n> first_values() {
  std::array<Enum, n> values{};
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<Enum>(i);
  return values;
}

constexpr std::array<std::string_view, 6> platform_names = {"cuda", "rocm", "cpu",
                                                            "xpu",  "tpu",  "out_of_tree"};
constexpr auto platforms = first_values<OraclePlatform, platform_names.size()>();

constexpr std::array<std::string_view, 10> library_names = {"flashinfer_cutlass",
                                                            "flashinfer_trtllm",
                                                            "flashinfer_cutedsl",
                                                            "deep_gemm",
                                                            "triton_kernels",
                                                            "cutlass_grouped_gemm",
                                                            "aiter",
                                                            "humming",
                                                            "hpc",
                                                            "flashinfer_b12x"};
constexpr auto libraries = first_values<Library, library_names.size()>();

constexpr std::array<std::string_view, 18> key_names = {"None",
                                                        "kFp8StaticTensorSym",
                                                        "kFp8DynamicTensorSym",
                                                        "kFp8StaticChannelSym",
                                                        "kFp8DynamicTokenSym",
                                                        "kFp8Static128BlockSym",
                                                        "kFp8Dynamic128Sym",
                                                        "kNvfp4Static",
                                                        "kNvfp4Dynamic",
                                                        "kMxfp4Static",
                                                        "kMxfp4Dynamic",
                                                        "kMxfp8Static",
                                                        "kMxfp8Dynamic",
                                                        "kInt4Static",
                                                        "kInt8Static",
                                                        "kInt8StaticChannelSym",
                                                        "kInt8DynamicTokenSym",
                                                        "kInt4W4A8StaticGroupSym"};

constexpr std::array<std::string_view, 8> activation_names = {
    "silu",  "gelu",        "swigluoai",   "swiglustep",
    "relu2", "silu_no_mul", "gelu_no_mul", "relu2_no_mul"};
constexpr auto activations = first_values<MoEActivation, activation_names.size()>();

constexpr std::array<std::string_view, 13> method_names = {
    "Default",  "Renormalize", "DeepSeekV3", "Llama4",      "RenormalizeNaive",
    "TopK",     "Custom",      "Simulated",  "Unspecified", "SigmoidRenorm",
    "MiniMax2", "Sigmoid",     "DeepseekV4"};
constexpr auto methods = first_values<RoutingMethod, method_names.size()>();
constexpr RoutingSet late_methods = {RoutingMethod::sigmoid_renorm, RoutingMethod::minimax2,
                                     RoutingMethod::sigmoid, RoutingMethod::deepseek_v4};

// before: as baseline's derivation says, after: as #43223 and #44347 do.
struct RouterRow {
  std::string_view name;
  RoutingMethod before;
  RoutingMethod after;
};
constexpr std::array routers = {
    RouterRow{"softmax_renormalize", RoutingMethod::renormalize, RoutingMethod::renormalize_naive},
    RouterRow{"softmax", RoutingMethod::softmax_over_all, RoutingMethod::softmax_over_all},
    RouterRow{"sigmoid_bias_groups", RoutingMethod::deepseek_v3, RoutingMethod::deepseek_v3},
    RouterRow{"sigmoid_bias", RoutingMethod::unspecified, RoutingMethod::minimax2},
    RouterRow{"sigmoid_bias_scaled", RoutingMethod::unspecified, RoutingMethod::unspecified},
    RouterRow{"sigmoid_top_1", RoutingMethod::llama4, RoutingMethod::llama4},
    RouterRow{"sigmoid_renormalize", RoutingMethod::unspecified, RoutingMethod::sigmoid_renorm},
    RouterRow{"sigmoid", RoutingMethod::unspecified, RoutingMethod::sigmoid},
    RouterRow{"custom", RoutingMethod::custom, RoutingMethod::custom},
    RouterRow{"simulated", RoutingMethod::simulated, RoutingMethod::simulated},
};
constexpr auto router_kinds = first_values<RouterKind, routers.size()>();

constexpr std::array<std::string_view, 10> family_names = {
    "unquantized", "fp8",   "mxfp8",         "nvfp4", "mxfp4",
    "int8",        "wna16", "mxfp4_generic", "w4a8",  "w4a8_int8"};
constexpr EraSpan late{Era::late_2026, Era::late_2026};

// mxfp4's activation key is each backend's until [H], where the deployment's filters them.
constexpr std::array schemes = {
    QuantScheme{"none"},
    QuantScheme{"fp8_block128", OracleFamilyName::fp8, QuantKey::fp8_static_128_block,
                QuantKey::fp8_dynamic_128},
    QuantScheme{"fp8_channel_token", OracleFamilyName::fp8, QuantKey::fp8_static_channel,
                QuantKey::fp8_dynamic_token},
    QuantScheme{"fp8_tensor_token", OracleFamilyName::fp8, QuantKey::fp8_static_tensor,
                QuantKey::fp8_dynamic_token},
    QuantScheme{"fp8_tensor", OracleFamilyName::fp8, QuantKey::fp8_static_tensor,
                QuantKey::fp8_static_tensor},
    QuantScheme{"fp8_tensor_dynamic", OracleFamilyName::fp8, QuantKey::fp8_static_tensor,
                QuantKey::fp8_dynamic_tensor},
    QuantScheme{"fp8_block128_a16", OracleFamilyName::fp8, QuantKey::fp8_static_128_block},
    QuantScheme{"fp8_channel_a16", OracleFamilyName::fp8, QuantKey::fp8_static_channel},
    QuantScheme{"fp8_tensor_a16", OracleFamilyName::fp8, QuantKey::fp8_static_tensor},
    QuantScheme{"mxfp8", OracleFamilyName::mxfp8, QuantKey::mxfp8_static, QuantKey::mxfp8_dynamic},
    QuantScheme{"nvfp4", OracleFamilyName::nvfp4, QuantKey::nvfp4_static, QuantKey::nvfp4_dynamic},
    QuantScheme{"nvfp4_a16", OracleFamilyName::nvfp4, QuantKey::nvfp4_static},
    QuantScheme{"mxfp4", OracleFamilyName::mxfp4, QuantKey::mxfp4_static},
    QuantScheme{"mxfp4_mxfp8", OracleFamilyName::mxfp4, QuantKey::mxfp4_static,
                QuantKey::mxfp8_dynamic},
    QuantScheme{"mxfp4_fp8", OracleFamilyName::mxfp4, QuantKey::mxfp4_static,
                QuantKey::fp8_static_tensor, late},
    QuantScheme{"mxfp4_mxfp4", OracleFamilyName::mxfp4, QuantKey::mxfp4_static,
                QuantKey::mxfp4_dynamic, late},
    QuantScheme{"mxfp4_generic", OracleFamilyName::mxfp4_generic, QuantKey::mxfp4_static,
                QuantKey::none, late},
    QuantScheme{"int8", OracleFamilyName::int8, QuantKey::int8_static_channel,
                QuantKey::int8_dynamic_token},
    QuantScheme{"int4_a16", OracleFamilyName::wna16, QuantKey::int4_static},
    QuantScheme{"int8_a16", OracleFamilyName::wna16, QuantKey::int8_static},
    QuantScheme{"w4a8", OracleFamilyName::w4a8, QuantKey::int4_static, QuantKey::fp8_dynamic_token,
                late},
    QuantScheme{"w4a8_int8", OracleFamilyName::w4a8_int8, QuantKey::int4_w4a8_static,
                QuantKey::none, late},
};

template <typename Names, typename Enum>
std::string_view name_in(const Names& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

}  // namespace

std::string_view name_of(OraclePlatform platform) { return name_in(platform_names, platform); }
std::span<const OraclePlatform> all_oracle_platforms() { return platforms; }

std::string_view name_of(Library library) { return name_in(library_names, library); }
std::span<const Library> all_libraries() { return libraries; }

std::string_view name_of(QuantKey key) { return name_in(key_names, key); }

std::string_view name_of(MoEActivation activation) { return name_in(activation_names, activation); }
std::span<const MoEActivation> all_moe_activations() { return activations; }
bool is_act_and_mul(MoEActivation activation) { return !name_of(activation).ends_with("_no_mul"); }

std::string_view name_of(RoutingMethod method) { return name_in(method_names, method); }
std::span<const RoutingMethod> all_routing_methods() { return methods; }
bool has_routing_method(const Profile& profile, RoutingMethod method) {
  return era_of(profile) >= Era::late_2026 || !late_methods.has(method);
}

std::string_view name_of(RouterKind router) {
  return routers[static_cast<std::size_t>(router)].name;
}
std::span<const RouterKind> all_router_kinds() { return router_kinds; }
RoutingMethod routing_method_of(const Profile& profile, RouterKind router) {
  const RouterRow& row = routers[static_cast<std::size_t>(router)];
  return era_of(profile) >= Era::late_2026 ? row.after : row.before;
}

std::string_view name_of(OracleFamilyName family) { return name_in(family_names, family); }

std::span<const QuantScheme> all_quant_schemes() { return schemes; }

std::vector<QuantScheme> quant_schemes_in(const Profile& profile) {
  std::vector<QuantScheme> there;
  for (const QuantScheme& scheme : schemes) {
    if (scheme.eras.covers(profile)) there.push_back(scheme);
  }
  return there;
}

}  // namespace moe
