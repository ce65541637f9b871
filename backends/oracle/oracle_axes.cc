// The axes of the two cross products as data: what a deployment is, and what a user asks for.
// Each axis says what one of its values makes of a deployment.

#include "backends/oracle/oracle_table.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

struct DeviceValue {
  std::string_view name;
  OraclePlatform platform;
  DeviceCapability capability = {};
  bool with_aiter = false;  // VLLM_ROCM_USE_AITER=1
};
constexpr std::array devices = {DeviceValue{"cuda-7.5", OraclePlatform::cuda, {7, 5}},
                                DeviceValue{"cuda-8.0", OraclePlatform::cuda, {8, 0}},
                                DeviceValue{"cuda-8.9", OraclePlatform::cuda, {8, 9}},
                                DeviceValue{"cuda-9.0", OraclePlatform::cuda, {9, 0}},
                                DeviceValue{"cuda-10.0", OraclePlatform::cuda, {10, 0}},
                                DeviceValue{"cuda-11.0", OraclePlatform::cuda, {11, 0}},
                                DeviceValue{"cuda-12.0", OraclePlatform::cuda, {12, 0}},
                                DeviceValue{"rocm-9.4", OraclePlatform::rocm, {9, 4}},
                                DeviceValue{"rocm-9.4-aiter", OraclePlatform::rocm, {9, 4}, true},
                                DeviceValue{"rocm-9.5", OraclePlatform::rocm, {9, 5}},
                                DeviceValue{"rocm-9.5-aiter", OraclePlatform::rocm, {9, 5}, true},
                                DeviceValue{"xpu", OraclePlatform::xpu},
                                DeviceValue{"cpu", OraclePlatform::cpu},
                                DeviceValue{"tpu", OraclePlatform::tpu},
                                DeviceValue{"out_of_tree", OraclePlatform::out_of_tree}};

// Under the name of its all2all backend: DP 4 with EP.
struct LayoutValue {
  std::string_view name;
  int dp = 1;
  int tp = 1;
  bool ep = false;
  std::string_view all2all = "allgather_reducescatter";
};
constexpr std::array layouts = {
    LayoutValue{"tp4", 1, 4},
    LayoutValue{"dp4", 4, 1},
    LayoutValue{"tp4-ep", 1, 4, true},
    LayoutValue{"naive", 4, 1, true, "naive"},
    LayoutValue{"allgather_reducescatter", 4, 1, true},
    LayoutValue{"deepep_high_throughput", 4, 1, true, "deepep_high_throughput"},
    LayoutValue{"deepep_low_latency", 4, 1, true, "deepep_low_latency"},
    LayoutValue{"deepep_v2", 4, 1, true, "deepep_v2"},
    LayoutValue{"nixl_ep", 4, 1, true, "nixl_ep"},
    LayoutValue{"mori", 4, 1, true, "mori"},
    LayoutValue{"mori_high_throughput", 4, 1, true, "mori_high_throughput"},
    LayoutValue{"flashinfer_nvlink_two_sided", 4, 1, true, "flashinfer_nvlink_two_sided"},
    LayoutValue{"flashinfer_nvlink_one_sided", 4, 1, true, "flashinfer_nvlink_one_sided"}};

constexpr std::array library_sets = {"usual", "none", "all"};
constexpr std::array activations = {MoEActivation::silu, MoEActivation::gelu,
                                    MoEActivation::swigluoai, MoEActivation::relu2_no_mul};
constexpr std::array routers = {RouterKind::softmax_renormalize, RouterKind::softmax,
                                RouterKind::sigmoid_bias_groups, RouterKind::sigmoid_renormalize};
constexpr std::array<std::string_view, 5> extras = {"plain", "eplb", "lora", "batch_invariant",
                                                    "without_vllm_cutlass"};

void set_device(ExpertsDeployment& deployment, int value) {
  const DeviceValue& device = devices[static_cast<std::size_t>(value)];
  deployment.platform = device.platform;
  deployment.capability = device.capability;
  deployment.libraries = usual_libraries(device.platform);
  if (device.with_aiter) deployment.environment.set("VLLM_ROCM_USE_AITER", "1");
}

// The usual ones and those that a user installs beside.
LibrarySet every_library(OraclePlatform platform) {
  const bool is_cuda = platform == OraclePlatform::cuda;
  return usual_libraries(platform).with(
      is_cuda ? LibrarySet{Library::humming, Library::hpc, Library::flashinfer_b12x}
              : LibrarySet{});
}

void set_layout(ExpertsDeployment& deployment, int value) {
  const LayoutValue& layout = layouts[static_cast<std::size_t>(value)];
  deployment.sizes.dp = layout.dp;
  deployment.sizes.tp = layout.tp;
  deployment.enable_expert_parallel = layout.ep;
  deployment.all2all_backend = layout.all2all;
}

void set_extra(ExpertsDeployment& deployment, int value) {
  deployment.enable_eplb = value == 1;
  deployment.enable_lora = value == 2;
  deployment.batch_invariant = value == 3;
  deployment.allow_vllm_cutlass = value != 4;
}

template <typename Row>
std::string named(const Row& row) {
  if constexpr (requires { name_of(row); }) {
    return std::string(name_of(row));
  } else if constexpr (requires { row.name; }) {
    return std::string(row.name);
  } else {
    return std::string(row);
  }
}

template <typename Rows>
std::vector<std::string> names_in(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.push_back(named(row));
  return names;
}

OracleAxes made_axes() {
  const auto at = [](const auto& rows, int value) { return rows[static_cast<std::size_t>(value)]; };
  return {{"quant", names_in(all_quant_schemes()),
           [at](ExpertsDeployment& d, int value) { d.quant = at(all_quant_schemes(), value); }},
          {"device", names_in(devices), set_device},
          {"libraries", names_in(library_sets),
           [](ExpertsDeployment& d, int value) {
             if (value == 1) d.libraries = {};
             if (value == 2) d.libraries = every_library(d.platform);
           }},
          {"extra", names_in(extras), set_extra},
          {"activation", names_in(activations),
           [at](ExpertsDeployment& d, int value) { d.activation = at(activations, value); }},
          {"layout", names_in(layouts), set_layout},
          {"router", names_in(routers),
           [at](ExpertsDeployment& d, int value) { d.router = at(routers, value); }},
          {"router_logits", {"bf16", "f32"}, [](ExpertsDeployment& d, int value) {
             d.router_logits_dtype = value == 0 ? DType::bf16 : DType::f32;
           }}};
}

// A word of moe_backend, or a setting of one variable.
struct Choice {
  std::string name;
  std::string word = "auto";
  std::string variable = {};
  std::string value = {};
};

std::vector<Choice> all_choices() {
  std::vector<Choice> choices;
  for (const std::string_view word : moe_backend_words(all_profiles().back())) {
    choices.push_back({std::string(word), std::string(word)});
  }
  for (const OracleVariable& variable : all_oracle_variables()) {
    for (const std::string& value : values_taken(variable)) {
      choices.push_back(
          {text(variable.name, "=", value), "auto", std::string(variable.name), value});
    }
  }
  return choices;
}

void set_choice(ExpertsDeployment& deployment, const Choice& choice) {
  deployment.moe_backend = choice.word;
  if (choice.variable.empty()) return;
  deployment.environment.set(choice.variable, choice.value);
  // Says nothing by itself: it is FlashInfer's choice once its switches are on.
  if (choice.variable != "VLLM_FLASHINFER_MOE_BACKEND") return;
  for (const auto* variable : {"VLLM_USE_FLASHINFER_MOE_FP16", "VLLM_USE_FLASHINFER_MOE_FP8",
                               "VLLM_USE_FLASHINFER_MOE_FP4"}) {
    deployment.environment.set(variable, "1");
  }
}

// ORDER: the choice first, since most of them change little.
OracleAxes made_choice_axes() {
  static const std::vector<Choice> choices = all_choices();
  static constexpr std::array few_layouts = {0, 4, 6};  // tp4, AG/RS, low latency
  static constexpr std::array few_activations = {MoEActivation::silu, MoEActivation::swigluoai};
  std::vector<std::string> names;
  for (const int layout : few_layouts) {
    names.emplace_back(layouts[static_cast<std::size_t>(layout)].name);
  }
  OracleAxes axes = {{"choice", names_in(choices), [](ExpertsDeployment& d, int value) {
                        set_choice(d, choices[static_cast<std::size_t>(value)]);
                      }}};
  axes.push_back(made_axes().front());  // quant
  // Where AITER is not switched on already, so that what a choice changes is the choice's.
  std::vector<int> few_devices;
  std::vector<std::string> device_names;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].with_aiter) continue;
    few_devices.push_back(static_cast<int>(i));
    device_names.emplace_back(devices[i].name);
  }
  axes.push_back({"device", device_names, [few_devices](ExpertsDeployment& d, int value) {
                    set_device(d, few_devices[static_cast<std::size_t>(value)]);
                  }});
  axes.push_back({"activation", names_in(few_activations), [](ExpertsDeployment& d, int value) {
                    d.activation = few_activations[static_cast<std::size_t>(value)];
                  }});
  axes.push_back({"layout", names, [](ExpertsDeployment& d, int value) {
                    set_layout(d, few_layouts[static_cast<std::size_t>(value)]);
                    d.allow_vllm_cutlass = true;
                  }});
  return axes;
}

}  // namespace

const OracleAxes& oracle_axes() {
  static const OracleAxes axes = made_axes();
  return axes;
}

const OracleAxes& choice_axes() {
  static const OracleAxes axes = made_choice_axes();
  return axes;
}

ExpertsDeployment deployment_of(const OracleAxes& axes, const OracleCell& cell) {
  ExpertsDeployment deployment;
  for (std::size_t axis = 0; axis < cell.size(); ++axis) axes[axis].set(deployment, cell[axis]);
  return deployment;
}

}  // namespace moe
