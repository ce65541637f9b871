// The matrix of experts-and-oracles.md, 6.2, read class by class against the table of rows, and the
// order in which predicates are asked (6.1). What the page writes in words is written here again,
// by hand, in cells of deployments that are taken or refused.

#include "tests/catch.h"
#include "tests/unit/backends/oracle_deployments.h"

using namespace moe;
using namespace moe::oracle_tests;

namespace {

const ExpertsClass& row_of(std::string_view name, std::string_view profile = default_profile) {
  const auto* row = find_experts_class(all_experts_classes(), profile_named(profile), name);
  if (row == nullptr) throw ContractError(text("no class ", name));
  return *row;
}

// What a class is asked where nothing but the named things differs from what it takes.
SupportQuestion question(const ExpertsDeployment& deployment, ActivationFormat format,
                         std::string_view profile = default_profile) {
  const Profile& whose = profile_named(profile);
  return {whose,
          deployment,
          parallel_traits_of(whose, deployment),
          routing_method_of(whose, deployment),
          deployment.quant.weight,
          deployment.quant.activation,
          format,
          all_experts_classes()};
}

std::string refused_by(std::string_view name, const ExpertsDeployment& deployment,
                       std::string_view profile = default_profile) {
  const ExpertsClass& row = row_of(name, profile);
  const auto refusal = refusal_of(row, question(deployment, row.format, profile));
  return refusal ? std::string(name_of(refusal->predicate)) : "";
}

// format G EM reduce, as the matrix has them.
std::string marks(std::string_view name) {
  const ExpertsClass& row = row_of(name);
  return text(row.format == ActivationFormat::standard ? "std" : "batched",
              row.is_monolithic ? " mono" : "", row.no_act_and_mul ? " G" : "",
              row.expert_map ? " EM" : "", " ", name_of(row.reduce));
}

std::string activations(std::string_view name) {
  std::vector<std::string_view> taken;
  for (const MoEActivation activation : all_moe_activations()) {
    if (row_of(name).activations.has(activation)) taken.push_back(name_of(activation));
  }
  return joined(taken, " ");
}

}  // namespace

TEST_CASE("experts classes: format, non-gated layers, expert map and reduction of each row") {
  CHECK(marks("TritonExperts") == "std G EM NoOP");
  CHECK(marks("BatchedTritonExperts") == "batched G Delegate");
  CHECK(marks("MarlinExperts") == "std G EM NoOP");
  CHECK(marks("BatchedMarlinExperts") == "batched G EM Delegate");
  CHECK(marks("DeepGemmExperts") == "std EM NoOP");
  CHECK(marks("TritonOrDeepGemmExperts") == "std EM NoOP");
  CHECK(marks("BatchedDeepGemmExperts") == "batched Delegate");
  CHECK(marks("CutlassExpertsFp8") == "std NoOP");
  CHECK(marks("CutlassBatchedExpertsFp8") == "batched Delegate");
  CHECK(marks("CutlassExpertsFp4") == "std G NoOP");
  CHECK(marks("CutlassExpertsMxfp4") == "std G NoOP");
  CHECK(marks("FlashInferExperts") == "std G NoOP");
  CHECK(marks("FlashInferCuteDSLExperts") == "std NoOP");
  CHECK(marks("FlashInferCuteDSLBatchedExperts") == "batched Delegate");
  CHECK(marks("TrtLlmBf16Experts") == "std mono in kernel");
  CHECK(marks("TrtLlmFp8ExpertsModular") == "std G NoOP");
  CHECK(marks("TrtLlmFp8ExpertsMonolithic") == "std mono G in kernel");
  CHECK(marks("TrtLlmNvFp4ExpertsModular") == "std G NoOP");
  CHECK(marks("TrtLlmNvFp4ExpertsMonolithic") == "std mono G in kernel");
  CHECK(marks("TrtLlmMxfp4ExpertsModular") == "std EM NoOP");
  CHECK(marks("TrtLlmMxfp4ExpertsMonolithic") == "std mono in kernel");
  CHECK(marks("OAITritonExperts") == "std EM NoOP");
  CHECK(marks("UnfusedOAITritonExperts") == "std EM NoOP");
  CHECK(marks("AiterExperts") == "std EM NoOP");
  CHECK(marks("XPUExperts") == "std EM NoOP");
  CHECK(marks("XPUExpertsFp8") == "std EM NoOP");
  CHECK(marks("XPUExpertsMXFp4") == "std EM NoOP");
  CHECK(marks("Nvfp4QuantizationEmulationTritonExperts") == "std G EM NoOP");
  CHECK(marks("OCP_MXQuantizationEmulationTritonExperts") == "std G EM NoOP");
}

TEST_CASE("experts classes: activations of each row") {
  const std::string no_mul = " silu_no_mul gelu_no_mul relu2_no_mul";
  for (const auto name : {"TritonExperts", "MarlinExperts", "BatchedMarlinExperts",
                          "CutlassExpertsFp4", "Nvfp4QuantizationEmulationTritonExperts"}) {
    CHECK(activations(name) == "silu gelu swigluoai swiglustep" + no_mul);
  }
  CHECK(activations("BatchedTritonExperts") == "silu gelu swigluoai" + no_mul);
  CHECK(activations("DeepGemmExperts") == "silu swiglustep");
  CHECK(activations("FlashInferExperts") == "silu swigluoai relu2_no_mul");
  for (const auto name : {"BatchedDeepGemmExperts", "FlashInferCuteDSLExperts",
                          "FlashInferCuteDSLBatchedExperts", "TrtLlmBf16Experts"}) {
    CHECK(activations(name) == "silu");
  }
  for (const auto name : {"CutlassExpertsFp8", "CutlassBatchedExpertsFp8", "AiterExperts",
                          "XPUExperts", "XPUExpertsFp8", "XPUExpertsMXFp4"}) {
    CHECK(activations(name) == "silu gelu swigluoai");
  }
  for (const auto name : {"TrtLlmFp8ExpertsModular", "TrtLlmNvFp4ExpertsMonolithic"}) {
    CHECK(activations(name) == "silu relu2_no_mul");
  }
  for (const auto name : {"TrtLlmMxfp4ExpertsModular", "TrtLlmMxfp4ExpertsMonolithic",
                          "OAITritonExperts", "OAITritonMxfp4ExpertsMonolithic"}) {
    CHECK(activations(name) == "swigluoai");
  }
  CHECK(activations("UnfusedOAITritonExperts") == "silu gelu swigluoai swiglustep");
}

TEST_CASE("experts classes: devices") {
  const auto taken_on = [](std::string_view name, const ExpertsDeployment& deployment) {
    return refused_by(name, deployment) != "device";
  };
  CHECK(taken_on("TritonExperts", on(OraclePlatform::xpu)));
  CHECK_FALSE(taken_on("BatchedTritonExperts", on(OraclePlatform::xpu)));
  CHECK(taken_on("MarlinExperts", on_cuda(7, 5)));
  CHECK_FALSE(taken_on("MarlinExperts", on_cuda(7, 0)));
  CHECK_FALSE(taken_on("MarlinExperts", on_mi300()));
  for (const int major : {9, 10}) {
    CHECK(taken_on("DeepGemmExperts", on_cuda(major)));
    CHECK(taken_on("CutlassExpertsFp8", on_cuda(major)));
    CHECK(taken_on("OAITritonExperts", on_cuda(major)));
  }
  CHECK(taken_on("OAITritonExperts", on_cuda(10, 3)));
  for (const int major : {8, 11, 12}) {
    CHECK_FALSE(taken_on("DeepGemmExperts", on_cuda(major)));
    CHECK_FALSE(taken_on("OAITritonExperts", on_cuda(major)));
    CHECK_FALSE(taken_on("TrtLlmBf16Experts", on_cuda(major)));
    CHECK_FALSE(taken_on("FlashInferCuteDSLExperts", on_cuda(major)));
  }
  for (const int major : {10, 11, 12}) {
    CHECK(taken_on("CutlassExpertsFp4", on_cuda(major)));
    CHECK(taken_on("FlashInferExperts", on_cuda(major, 1)));  // SM121 among them
  }
  CHECK_FALSE(taken_on("CutlassExpertsFp4", on_cuda(9)));
  CHECK(taken_on("FlashInferExperts", on_cuda(9)));
  CHECK_FALSE(taken_on("FlashInferExperts", on_cuda(8)));
  CHECK(refused_by("FlashInferExperts", on_cuda(11), "late-2026") == "device");
  CHECK(refused_by("FlashInferExperts", on_cuda(12), "late-2026") == "");
}

TEST_CASE("experts classes: pairs of keys, some of them on some devices only") {
  const auto takes = [](std::string_view name, const ExpertsDeployment& deployment,
                        std::string_view quant) {
    return refused_by(name, with_quant(deployment, quant)) != "quant_scheme";
  };
  for (const auto quant : {"none", "fp8_block128", "fp8_channel_token", "fp8_tensor_token",
                           "fp8_tensor", "fp8_tensor_dynamic", "int8"}) {
    CHECK(takes("TritonExperts", on_h100(), quant));
    CHECK(takes("BatchedTritonExperts", on_h100(), quant) == (quant != std::string("int8")));
  }
  CHECK_FALSE(takes("TritonExperts", on_a100(), "fp8_tensor"));
  CHECK(takes("TritonExperts", on_a100(), "int8"));
  CHECK_FALSE(takes("TritonExperts", on_h100(), "nvfp4"));
  for (const auto quant : {"fp8_block128", "fp8_tensor_a16", "mxfp4", "mxfp8", "nvfp4", "nvfp4_a16",
                           "int4_a16", "int8_a16"}) {
    CHECK(takes("MarlinExperts", on_a100(), quant));
  }
  CHECK_FALSE(takes("MarlinExperts", on_a100(), "none"));
  CHECK_FALSE(takes("MarlinExperts", on_a100(), "int8"));
  CHECK_FALSE(takes("CutlassExpertsFp8", on_h100(), "fp8_block128"));
  CHECK(takes("CutlassExpertsFp8", on_h100(), "fp8_tensor_dynamic"));
  CHECK_FALSE(takes("CutlassExpertsFp8", on_h100(), "fp8_tensor_token"));
  CHECK(takes("FlashInferExperts", on_h100(), "fp8_block128"));
  CHECK_FALSE(takes("FlashInferExperts", on_b200(), "fp8_block128"));
  CHECK(takes("FlashInferExperts", on_h100(), "mxfp4"));
  CHECK_FALSE(takes("FlashInferExperts", on_b200(), "mxfp4"));
  CHECK(takes("FlashInferExperts", on_b200(), "mxfp4_mxfp8"));
  CHECK_FALSE(takes("FlashInferExperts", on_h100(), "nvfp4"));
  CHECK(takes("FlashInferExperts", on_b200(), "nvfp4"));
  CHECK_FALSE(takes("TrtLlmFp8ExpertsModular", on_b200(), "fp8_tensor"));
  CHECK(takes("TrtLlmFp8ExpertsMonolithic", on_b200(), "fp8_tensor"));
  CHECK(takes("XPUExpertsFp8", on(OraclePlatform::xpu), "fp8_tensor_a16"));
  CHECK_FALSE(takes("XPUExpertsFp8", on(OraclePlatform::xpu), "fp8_tensor"));
  CHECK(takes("OCP_MXQuantizationEmulationTritonExperts", on_h100(), "mxfp4"));
}

TEST_CASE("experts classes: what a parallel configuration must not be") {
  const auto takes = [](std::string_view name, const ExpertsDeployment& deployment) {
    return refused_by(name, deployment) != "parallel_config";
  };
  const auto block = [](std::string_view all2all) {
    return with_ep(with_quant(on_b200(), "fp8_block128"), 4, all2all);
  };
  const std::string two_sided = "flashinfer_nvlink_two_sided";
  const std::string one_sided = "flashinfer_nvlink_one_sided";
  for (const std::string& nvlink : {two_sided, one_sided}) {
    CHECK_FALSE(takes("TritonExperts", block(nvlink)));
    CHECK_FALSE(takes("MarlinExperts", block(nvlink)));
    CHECK_FALSE(takes("DeepGemmExperts", block(nvlink)));
    CHECK_FALSE(takes("TritonOrDeepGemmExperts", block(nvlink)));
    CHECK_FALSE(takes("TrtLlmFp8ExpertsModular", block(nvlink)));
  }
  CHECK(takes("TritonExperts", block("deepep_high_throughput")));
  ExpertsDeployment cutlass = with_quant(block("deepep_high_throughput"), "fp8_tensor");
  CHECK_FALSE(takes("CutlassExpertsFp8", cutlass));
  CHECK(takes("TrtLlmFp8ExpertsModular", block("allgather_reducescatter")));
  ExpertsDeployment balanced = block("allgather_reducescatter");
  balanced.enable_eplb = true;
  CHECK_FALSE(takes("TrtLlmFp8ExpertsModular", balanced));
  const ExpertsDeployment nvfp4 = with_quant(on_b200(), "nvfp4");
  CHECK(takes("CutlassExpertsFp4", with_tp(nvfp4, 4)));
  CHECK_FALSE(takes("CutlassExpertsFp4", with_ep(nvfp4, 4, "allgather_reducescatter")));
  CHECK_FALSE(takes("TrtLlmNvFp4ExpertsMonolithic", with_ep(nvfp4, 4, "allgather_reducescatter")));
  CHECK(takes("TrtLlmNvFp4ExpertsModular", with_ep(nvfp4, 4, "mori")));
  ExpertsDeployment dp = with_quant(on_b200(), "mxfp4");
  dp.activation = MoEActivation::swigluoai;
  CHECK(takes("TrtLlmMxfp4ExpertsMonolithic", dp));
  dp.sizes.dp = 2;  // without EP: no all2all kernels, still more than one DP rank
  CHECK_FALSE(takes("TrtLlmMxfp4ExpertsMonolithic", dp));
}

TEST_CASE("experts classes: routing methods of monolithic kernels") {
  const auto routed = [](std::string_view name, std::string_view quant, RoutingMethod method,
                         std::string_view profile = default_profile) {
    ExpertsDeployment deployment = with_quant(on_b200(), quant);
    if (quant == "mxfp4") deployment.activation = MoEActivation::swigluoai;
    deployment.routing_method = method;
    return refused_by(name, deployment, profile);
  };
  using enum RoutingMethod;
  for (const RoutingMethod method : {deepseek_v3, llama4, renormalize, renormalize_naive}) {
    CHECK(routed("TrtLlmBf16Experts", "none", method) == "");
    CHECK(routed("TrtLlmNvFp4ExpertsMonolithic", "nvfp4", method) == "");
    CHECK(routed("TrtLlmFp8ExpertsMonolithic", "fp8_tensor", method) == "");
    const bool is_llama = method == llama4;
    CHECK(routed("TrtLlmFp8ExpertsMonolithic", "fp8_block128", method) ==
          (is_llama ? "routing_method" : ""));
  }
  CHECK(routed("TrtLlmBf16Experts", "none", simulated) == "routing_method");
  CHECK(routed("TrtLlmFp8ExpertsMonolithic", "mxfp8", simulated) == "");
  CHECK(routed("TrtLlmMxfp4ExpertsMonolithic", "mxfp4", deepseek_v3) == "routing_method");
  CHECK(routed("TrtLlmFp8ExpertsMonolithic", "fp8_block128", unspecified) == "routing_method");
  CHECK(routed("TrtLlmFp8ExpertsMonolithic", "fp8_block128", minimax2, "late-2026") == "");
}

TEST_CASE("experts classes: the first predicate in vLLM's order is the one that is told") {
  // Everything is wrong for this class; each repair shows the next reason.
  ExpertsDeployment wrong = with_ep(with_quant(on_h100(), "fp8_channel_token"), 4, "mori");
  wrong.activation = MoEActivation::gelu_no_mul;
  wrong.routing_method = RoutingMethod::custom;
  wrong.router_logits_dtype = DType::f32;
  wrong.hidden_size = 2880;
  wrong.batch_invariant = true;
  const std::string name = "TrtLlmNvFp4ExpertsMonolithic";
  std::vector<std::string> told;
  const auto tell = [&](ActivationFormat format) {
    const auto refusal = refusal_of(row_of(name), question(wrong, format));
    told.emplace_back(refusal ? name_of(refusal->predicate) : "none");
  };
  const auto batched = ActivationFormat::batched_experts;
  tell(batched);
  wrong.capability = {10, 0};
  row_of(name);
  wrong.activation = MoEActivation::gelu;
  tell(batched);
  wrong.activation = MoEActivation::silu;
  tell(batched);
  wrong = with_quant(wrong, "nvfp4");
  tell(batched);
  wrong.all2all_backend = "allgather_reducescatter";
  wrong.sizes.dp = 1;
  tell(batched);
  wrong.routing_method = RoutingMethod::renormalize;
  tell(batched);
  wrong.router_logits_dtype = DType::bf16;
  tell(batched);
  wrong.hidden_size = 7168;
  tell(batched);
  tell(ActivationFormat::standard);
  wrong.batch_invariant = false;
  tell(ActivationFormat::standard);
  CHECK(joined(told, " ") ==
        "device activation quant_scheme parallel_config routing_method router_logits_dtype shape "
        "activation_format batch_invariance none");
  wrong.activation = MoEActivation::gelu_no_mul;
  const auto gated = refusal_of(row_of("DeepGemmExperts"), question(wrong, batched));
  CHECK(name_of(gated->predicate) == "no_act_and_mul");
}

TEST_CASE("experts classes: words for a refusal are vLLM's, then what the class takes") {
  ExpertsDeployment deployment = with_quant(on_b200(), "fp8_tensor");
  const SupportQuestion asked = question(deployment, ActivationFormat::standard);
  const auto refusal = refusal_of(row_of("TrtLlmFp8ExpertsModular"), asked);
  CHECK(reason_text(*refusal, asked) ==
        "kernel does not support quantization scheme kFp8StaticTensorSymxkFp8StaticTensorSym");
  CHECK(taken_text(*refusal, asked) ==
        "takes kFp8Static128BlockSymxkFp8Dynamic128Sym, kMxfp8StaticxkMxfp8Dynamic");
  deployment.has_bias = true;
  deployment = with_quant(deployment, "fp8_block128");
  CHECK(refused_by("TritonExperts", deployment) == "");
  deployment.capability = {9, 0};
  deployment.libraries = {Library::hpc};
  CHECK(refused_by("HpcExperts", deployment, "late-2026") == "bias");
}

TEST_CASE("routing methods: derived from what the model says, by profile") {
  const auto method = [](std::string_view profile, RouterKind router) {
    return name_of(routing_method_of(profile_named(profile), router));
  };
  using enum RouterKind;
  CHECK(method("post-40412", softmax_renormalize) == "Renormalize");
  CHECK(method("late-2026", softmax_renormalize) == "RenormalizeNaive");
  CHECK(method("post-40412", softmax) == "Default");
  CHECK(method("late-2026", softmax) == "Default");
  CHECK(method("post-40412", sigmoid_bias_groups) == "DeepSeekV3");
  CHECK(method("post-40412", sigmoid_bias) == "Unspecified");
  CHECK(method("late-2026", sigmoid_bias) == "MiniMax2");
  CHECK(method("late-2026", sigmoid_bias_scaled) == "Unspecified");
  CHECK(method("post-40412", sigmoid_top_1) == "Llama4");
  CHECK(method("post-40412", sigmoid_renormalize) == "Unspecified");
  CHECK(method("late-2026", sigmoid_renormalize) == "SigmoidRenorm");
  CHECK(method("late-2026", sigmoid) == "Sigmoid");
}
