// The sections world, model, faults and runs of a scenario file.
// Which backends exist is not asked here: the registry knows, and its caller.

#include <algorithm>

#include "kernels/base/text.h"
#include "sim/scenario_sections.h"

namespace moe::sim {
namespace {

constexpr std::int64_t layers_max = 4'096;
constexpr std::int64_t top_k_max = 1'024;
constexpr std::int64_t seed_max = INT64_MAX;
constexpr std::int64_t shared_experts_max = 64;
constexpr std::int64_t redundant_experts_max = 1'023;  // vLLM: a replica map of 1024
constexpr double scale_max = 1024;

DeviceKind device_named(const std::string& word) {
  if (word == "cuda") return DeviceKind::cuda;
  return word == "xpu" ? DeviceKind::xpu : DeviceKind::cpu;
}

// A communicator must reach the device's memory, and local joins threads only.
void check_communicator(const ScenarioMap& map, const RunLine& line) {
  if (line.communicator.empty()) return;
  const YamlNode& node = *map.find("communicator");
  const std::string name = map.full_name("communicator");
  if (line.communicator == "local") {
    if (line.ranks == RanksAre::threads) return;
    refuse_at(node, name, "local joins threads of one process, and ranks are processes");
  }
  const std::string own = line.device == DeviceKind::cuda ? "nccl" : "gloo";
  if (line.communicator != own) {
    refuse_at(node, name,
              text(line.communicator, " does not carry rows of ", name_of(line.device), "; choose ",
                   own, " or local"));
  }
}

RunLine run_line(const YamlNode& node, const std::string& name, Scenario& scenario) {
  const ScenarioMap map(node, name, "runs", scenario);
  RunLine line;
  line.backend = map.line_of_text("backend", line.backend);
  line.device = device_named(map.word("device", "cpu"));
  line.communicator = map.word("communicator", line.communicator);
  map.word("path", "reference");
  line.ranks =
      map.word("ranks", "threads") == "processes" ? RanksAre::processes : RanksAre::threads;
  line.profile = map.word("profile", line.profile);
  line.platform = map.word("platform", line.platform);
  line.selection = selection_named(map.word("selection", "modular"));
  line.dispatch_site = dispatch_site_named(map.word("dispatch_site", "kernel"));
  line.arrival_seed = static_cast<std::uint64_t>(map.integer("arrival_seed", {0, seed_max}, 0));
  check_communicator(map, line);
  return line;
}

ExpertKernel kernel_named(const std::string& word) {
  if (word == "real") return ExpertKernel::real;
  return word == "probe" ? ExpertKernel::probe : ExpertKernel::exact_gemm;
}

// REQUIRES one of the key table's words.
Activation activation_named(const std::string& word) {
  const auto row = std::ranges::find(activation_rows, std::string_view(word), &ActivationRow::name);
  return row->activation;
}

// A number of like layers, or one map for each layer with what it has of its own.
void read_layers(const ScenarioMap& map, Scenario& scenario) {
  ModelSpec& model = scenario.model;
  const YamlNode* layers = map.find("layers");
  if (layers == nullptr || layers->kind != YamlKind::sequence) {
    model.num_layers = static_cast<int>(map.integer("layers", {1, layers_max}, model.num_layers));
    return;
  }
  if (layers->items.empty()) refuse_at(*layers, "model.layers", "no layers");
  for (const YamlNode& item : layers->items) {
    const ScenarioMap layer(item, text("model.layers[", model.layers.size(), "]"), "model.layers",
                            scenario);
    model.layers.push_back(
        {layer.integer("hidden", {1, width_max}, model.hidden_size),
         layer.integer("intermediate", {1, width_max}, model.intermediate_size)});
  }
  model.num_layers = static_cast<int>(model.layers.size());
}

bool is_fault_name(const std::string& name) {
  return name.size() == 5 && name.starts_with("MF-") &&
         std::all_of(name.begin() + 3, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

FaultSpec fault_of(const YamlNode& node, const std::string& where) {
  if (node.kind != YamlKind::map) {
    refuse_at(node, where, text(described(node), " is not a map like {name: MF-07}"));
  }
  FaultSpec fault;
  for (const YamlEntry& entry : node.entries) {
    const std::string& key = entry.key.scalar;
    if (entry.value.kind != YamlKind::scalar || entry.value.scalar.empty()) {
      refuse_at(entry.value, text(where, ".", key),
                text(described(entry.value), " is not a value"));
    }
    if (key != "name") fault.parameters.emplace_back(key, entry.value.scalar);
  }
  const YamlNode* name = node.find("name");
  if (name == nullptr) refuse_at(node, where, "a fault needs a name, MF- and two digits");
  if (!is_fault_name(name->scalar)) {
    refuse_at(*name, text(where, ".name"), text(described(*name), " is not MF- and two digits"));
  }
  fault.name = name->scalar;
  return fault;
}

void read_router(const ScenarioMap& map, ModelSpec& model) {
  model.scoring = map.word("scoring", "softmax") == "sigmoid" ? Scoring::sigmoid : Scoring::softmax;
  model.renormalize = map.boolean("renormalize", model.renormalize);
  model.num_expert_groups =
      static_cast<int>(map.integer("groups", {1, experts_max}, model.num_expert_groups));
  model.topk_group =
      static_cast<int>(map.integer("topk_group", {1, experts_max}, model.topk_group));
  model.correction_bias = map.boolean("correction_bias", model.correction_bias);
}

}  // namespace

namespace {

void read_masked_ranks(const YamlNode& node, Scenario& scenario) {
  if (node.kind != YamlKind::sequence) {
    refuse_at(node, "world.masked_ranks", no_list_of(node, "ranks"));
  }
  for (const YamlNode& item : node.items) {
    const auto rank =
        static_cast<int>(integer_of(item, "world.masked_ranks", 0, scenario.world.dp - 1));
    if (std::ranges::count(scenario.world.masked_ranks, rank) > 0) {
      refuse_at(item, "world.masked_ranks", text(rank, " is given twice"));
    }
    scenario.world.masked_ranks.push_back(rank);
  }
}

}  // namespace

void read_world(const YamlNode& node, Scenario& scenario) {
  const ScenarioMap map(node, "world", "world", scenario);
  scenario.world.dp = static_cast<int>(map.integer("dp", {1, ranks_max}, scenario.world.dp));
  scenario.world.tp = static_cast<int>(map.integer("tp", {1, ranks_max}, scenario.world.tp));
  scenario.world.pp = static_cast<int>(map.integer("pp", {1, ranks_max}, scenario.world.pp));
  scenario.world.pcp = static_cast<int>(map.integer("pcp", {1, ranks_max}, scenario.world.pcp));
  scenario.world.sequence_parallel =
      map.boolean("sequence_parallel", scenario.world.sequence_parallel);
  scenario.world.expert_parallel = map.boolean("ep", scenario.world.expert_parallel);
  if (const YamlNode* masked = map.find("masked_ranks")) read_masked_ranks(*masked, scenario);
}

void read_model(const YamlNode& node, Scenario& scenario) {
  const ScenarioMap map(node, "model", "model", scenario);
  ModelSpec& model = scenario.model;
  model.num_experts = static_cast<int>(map.integer("experts", {1, experts_max}, model.num_experts));
  model.top_k = static_cast<int>(map.integer("top_k", {1, top_k_max}, model.top_k));
  model.hidden_size = map.integer("hidden", {1, width_max}, model.hidden_size);
  model.intermediate_size = map.integer("intermediate", {1, width_max}, model.intermediate_size);
  read_layers(map, scenario);
  model.dtype = *dtype_named(map.word("dtype", std::string(name_of(model.dtype))));
  const bool is_real = scenario.values == Values::real;
  model.kernel = kernel_named(map.word("kernel", is_real ? "real" : "probe"));
  model.placement =
      map.word("placement", "linear") == "linear" ? Placement::linear : Placement::round_robin;
  model.num_redundant_experts =
      static_cast<int>(map.integer("redundant_experts", {0, redundant_experts_max}, 0));
  model.quantization = quant_scheme_named(map.word("quantization", "none"));
  model.activation = activation_named(map.word("activation", "silu"));
  model.has_bias = map.boolean("bias", model.has_bias);
  model.num_shared_experts =
      static_cast<int>(map.integer("shared_experts", {0, shared_experts_max}, 0));
  model.scale = map.number("scale", scale_max, model.scale);
  model.router_weight_on_input = map.boolean("router_weight_on_input", false);
  read_router(map, model);
}

void read_faults(const YamlNode& node, Scenario& scenario) {
  if (node.kind != YamlKind::sequence) {
    refuse_at(node, "faults", text(described(node), " is not a list of faults"));
  }
  for (const YamlNode& item : node.items) {
    const std::string where = text("faults[", scenario.faults.size(), "]");
    scenario.written[where] = {item.place(), ""};
    scenario.faults.push_back(fault_of(item, where));
  }
}

void read_runs(const YamlNode& node, Scenario& scenario) {
  if (node.kind != YamlKind::sequence || node.items.empty()) {
    refuse_at(node, "runs", no_list_of(node, "runs"));
  }
  for (const YamlNode& item : node.items) {
    const std::string name = text("runs[", scenario.runs.size(), "]");
    scenario.written[name] = {item.place(), ""};
    scenario.runs.push_back(run_line(item, name, scenario));
  }
}

}  // namespace moe::sim
