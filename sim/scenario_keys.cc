// The table of scenario keys, and what is said about a key or word that is not in it.
// A key that formats.md gains gets its row here, in the schema, and in the section's reader.

#include "sim/scenario_keys.h"

#include <algorithm>

#include "backends/profile.h"
#include "backends/quant_schemes.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

std::vector<ScenarioKey> top_level_keys() {
  return {{"", "name"},
          {"", "why"},
          {"", "tags"},
          {"", "seed"},
          {"", "world"},
          {"", "model"},
          {"", "routing"},
          {"", "steps"},
          {"", "engine"},
          {"", "values", KeyState::read, {"integers", "real"}},
          {"", "capacity"},
          {"", "expect"},
          {"", "faults"},
          {"", "defects"},
          {"", "same_under"},
          {"", "eplb"},
          {"", "micro_batches", KeyState::pending, {"{}"}},
          {"", "dp_chunking"},
          {"", "runs"}};
}

std::vector<ScenarioKey> world_keys() {
  return {{"world", "dp"},          {"world", "tp"}, {"world", "pp"},
          {"world", "pcp"},         {"world", "ep"}, {"world", "sequence_parallel"},
          {"world", "masked_ranks"}};
}

std::vector<std::string> quantization_words() {
  std::vector<std::string> words;
  for (const QuantizationScheme& scheme : quant_schemes) words.emplace_back(scheme.name);
  return words;
}

std::vector<ScenarioKey> model_keys() {
  return {{"model", "experts"},
          {"model", "top_k"},
          {"model", "hidden"},
          {"model", "intermediate"},
          {"model", "layers"},
          {"model", "scoring", KeyState::router, {"softmax", "sigmoid"}},
          {"model", "renormalize", KeyState::router, {"true"}},
          {"model", "groups", KeyState::router, {"1"}},
          {"model", "topk_group", KeyState::router, {"1"}},
          {"model", "shared_experts"},
          {"model", "scale"},
          {"model", "correction_bias", KeyState::router, {"false"}},
          {"model", "dtype", KeyState::read, {"bf16", "f32", "f16"}},
          {"model",
           "activation",
           KeyState::read,
           {"silu", "gelu", "swigluoai", "relu2_no_mul", "silu_no_mul", "gelu_no_mul"}},
          {"model", "bias"},
          {"model", "kernel", KeyState::read, {"probe", "exact_gemm", "real"}},
          {"model", "quantization", KeyState::read, quantization_words()},
          {"model", "placement", KeyState::read, {"linear", "round_robin"}},
          {"model", "redundant_experts"},
          {"model", "router_weight_on_input"},
          {"model.layers", "hidden"},
          {"model.layers", "intermediate"}};
}

std::vector<ScenarioKey> routing_keys() {
  return {{"routing", "uniform"},
          {"routing", "skewed"},
          {"routing.skewed", "exponent"},
          {"routing", "one_hot_expert"},
          {"routing.one_hot_expert", "expert"},
          {"routing", "hot_rank"},
          {"routing.hot_rank", "rank"},
          {"routing.hot_rank", "share"},
          {"routing", "masked"},
          {"routing.masked", "share"},
          {"routing", "ids"},
          {"routing", "logits"},
          {"routing.logits", "spread"},
          {"routing.logits", "shift"},
          {"routing.logits", "ties"},
          {"routing.logits", "nan"},
          {"routing", "trace"},
          {"routing", "layers"},
          {"routing", "steps"},
          {"routing", "seed"}};
}

// The default first, then vLLM's history.
std::vector<std::string> profile_words() {
  std::vector<std::string> words = {std::string(default_profile)};
  for (const Profile& profile : all_profiles()) {
    if (profile.name != default_profile) words.emplace_back(profile.name);
  }
  return words;
}

std::vector<ScenarioKey> run_keys() {
  return {{"expect", "error"},
          {"expect", "fallback"},
          {"expect", "differs"},
          {"expect.error", "kind", KeyState::read, {"scenario", "system", "contract"}},
          {"expect.error", "text"},
          {"capacity", "max_num_batched_tokens"},
          {"capacity", "deadline_ms"},
          {"eplb", "window_size"},
          {"eplb", "step_interval"},
          {"eplb", "policy", KeyState::read, {"default"}},
          {"eplb", "nodes"},
          {"eplb", "use_async", KeyState::pending, {"false"}},
          {"runs", "backend"},
          {"runs", "device", KeyState::read, {"cpu", "cuda", "xpu"}},
          {"runs", "communicator", KeyState::read, {"gloo", "nccl", "local"}},
          {"runs", "path", KeyState::read, {"reference"}, {"device"}},
          {"runs", "ranks", KeyState::read, {"threads", "processes"}},
          {"runs", "profile", KeyState::read, profile_words()},
          {"runs", "platform", KeyState::read, {"cuda", "rocm", "cpu", "xpu"}},
          {"runs", "selection", KeyState::read, {"modular", "monolithic"}},
          {"runs", "dispatch_site", KeyState::read, {"kernel", "runner", "runner_batched"}},
          {"runs", "arrival_seed"}};
}

std::vector<ScenarioKey> engine_keys() {
  return {{"engine", "requests"},
          {"engine", "graph_mode", KeyState::read, {"none", "piecewise", "full"}},
          {"engine", "capture_sizes"},
          {"engine", "dbo"},
          {"engine", "dbo_decode_token_threshold"},
          {"engine", "dbo_prefill_token_threshold"},
          {"dp_chunking", "rows_max"},
          {"dp_chunking", "store", KeyState::read, {"if_unfinished", "always"}},
          {"engine.requests", "rank"},
          {"engine.requests", "arrives"},
          {"engine.requests", "prompt"},
          {"engine.requests", "output"}};
}

std::vector<ScenarioKey> all_keys() {
  std::vector<ScenarioKey> all = top_level_keys();
  for (const auto& keys : {world_keys(), model_keys(), routing_keys(), engine_keys(), run_keys()}) {
    all.insert(all.end(), keys.begin(), keys.end());
  }
  return all;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& choices) {
  const std::string near = nearest(word, choices);
  return near.empty() ? "" : text("; did you mean '", near, "'?");
}

}  // namespace

const std::vector<ScenarioKey>& scenario_keys() {
  static const std::vector<ScenarioKey> keys = all_keys();
  return keys;
}

const ScenarioKey* find_key(const std::string& section, const std::string& name) {
  for (const ScenarioKey& key : scenario_keys()) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

std::string unknown_key_text(const std::string& section, const std::string& name) {
  std::vector<std::string> known;
  std::vector<std::string> elsewhere;
  for (const ScenarioKey& key : scenario_keys()) {
    if (key.section == section) known.push_back(key.name);
    if (key.name == name) elsewhere.push_back(key.section.empty() ? "the top level" : key.section);
  }
  const std::string other =
      elsewhere.empty() ? "" : text("; '", name, "' belongs under ", joined(elsewhere, " or "));
  return text("unknown key '", name.substr(0, 80), "'; known: ", joined(known),
              did_you_mean(name, known), other);
}

const std::string& chosen(const std::string& where, const std::string& word,
                          const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), word) == choices.end()) {
    throw ScenarioError(text(where, ": '", word.substr(0, 80), "' is not one of ", joined(choices),
                             did_you_mean(word.substr(0, 80), choices)));
  }
  return word;
}

}  // namespace moe::sim
