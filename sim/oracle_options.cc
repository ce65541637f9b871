// The options of moebius oracle: one table, which is also its help, and what they make of a
// deployment. A word that names nothing is refused with those that do.

#include "sim/oracle_options.h"

#include <algorithm>
#include <charconv>

#include "backends/config/backend_traits.h"
#include "backends/config/validation.h"
#include "backends/oracle/experts_oracle.h"
#include "backends/oracle/quant_keys.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/command_options.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

using Words = std::vector<std::string>;

constexpr const char* usage =
    "usage: moebius oracle [options]\n\n"
    "Says which MoE experts backend and class vLLM takes for a described deployment, or the error\n"
    "that it raises: every candidate in vLLM's order with the first predicate that refused it.\n"
    "Nothing runs and no GPU is needed. --why-not answers for a backend or class that was not\n"
    "taken. --all prints the cross product of deployments as a decision tree, --diff the cells\n"
    "that two profiles answer differently.\n\n"
    "exit: 0 answered, an error of vLLM's included; 1 a seeded fault was caught or survived;\n"
    "2 bad usage\n\noptions";

OptionTable deployment_table() {
  using enum OptionKind;
  return {
      {"platform", word, "NAME", "cuda (default), rocm, cpu, xpu, tpu, out_of_tree"},
      {"capability", word, "X.Y", "of cuda (9.0) or rocm (9.4: gfx942, 9.5: gfx950)"},
      {"libraries", words, "A,B",
       "what is installed beside vLLM: usual (default), none, or names of flashinfer_cutlass, …"},
      {"quant", word, "NAME", "none (default), fp8_block128, mxfp4 (gpt-oss), …"},
      {"dp", number, "N", "data parallel ranks (1)", "1 to 4096"},
      {"tp", number, "N", "tensor parallel ranks (1)", "1 to 4096"},
      {"pcp", number, "N", "prefill context parallel ranks (1)", "1 to 4096"},
      {"ep", flag, "", "expert parallel"},
      {"sequence-parallel", flag, "", "the layer splits tokens over TP ranks"},
      {"all2all", word, "NAME", "all2all backend (allgather_reducescatter)"},
      {"experts", number, "N", "physical experts of a layer (as many on every rank)", "1 to 65536"},
      {"eplb", flag, "", "with the expert load balancer"},
      {"activation", word, "NAME", "silu (default), gelu, swigluoai, relu2_no_mul, …"},
      {"router", word, "KIND",
       "what the model says of its router: softmax_renormalize (default), softmax, …; vLLM "
       "derives the routing method from it"},
      {"routing-method", word, "NAME", "the routing method itself: Default, Renormalize, …"},
      {"router-logits", word, "TYPE", "bf16 (default), f16, f32"},
      {"hidden", count, "N", "hidden size (4096)", "1 to 1048576"},
      {"intermediate", count, "N", "intermediate size of a rank's experts (14336)", "1 to 1048576"},
      {"bias", flag, "", "experts with biases"},
      {"swiglu-limit", flag, "", "the model clamps SwiGLU at a limit of its own"},
      {"no-vllm-cutlass", flag, "", "the quantisation method does not allow vLLM's CUTLASS"},
      {"lora", flag, "", "with LoRA"},
      {"batch-invariant", flag, "", "VLLM_BATCH_INVARIANT"},
      {"moe-backend", word, "NAME", "an explicit choice (auto)"},
      {"env", words, "K=V", "a variable that is set; 0 is another thing than not set"},
      {"why-not", words, "NAME", "why that backend or class was not taken, in any case"},
  };
}

OptionTable table() {
  OptionTable rows = deployment_table();
  rows.push_back({"profile", OptionKind::word, "NAME", "whose rules: post-40412 (default), …"});
  rows.push_back({"all", OptionKind::flag, "", "every deployment of the cross product"});
  rows.push_back({"diff", OptionKind::word, "P1 P2", "what two profiles answer differently"});
  rows.push_back({"fault", OptionKind::word, "NAME[:key=value,…]",
                  "seed a fault of the oracles; ORACLE holds its answers against the table"});
  add_report_options(rows);
  return rows;
}

const Profile& described_profile(const std::string& option, const std::string& name) {
  const auto described = oracle_profiles();
  chosen(option, name, {described.begin(), described.end()});
  return profile_named(name);
}

DeviceCapability capability_of(const std::string& words) {
  DeviceCapability capability;
  const char* end = words.data() + words.size();
  const auto major = std::from_chars(words.data(), end, capability.major);
  const bool has_dot = major.ec == std::errc() && major.ptr != end && *major.ptr == '.';
  const auto minor = has_dot ? std::from_chars(major.ptr + 1, end, capability.minor) : major;
  const bool is_read = has_dot && minor.ec == std::errc() && minor.ptr == end &&
                       capability.major >= 0 && capability.minor >= 0;
  if (!is_read) {
    throw ScenarioError(text("--capability: '", words, "' is no capability; as in 9.0 or 10.0"));
  }
  return capability;
}

void set_device(const GivenOptions& given, ExpertsDeployment& deployment) {
  const auto platforms = all_oracle_platforms();
  if (const auto place = given.place("platform", names_in(platforms))) {
    deployment.platform = platforms[*place];
  }
  const bool is_cuda = deployment.platform == OraclePlatform::cuda;
  const bool is_rocm = deployment.platform == OraclePlatform::rocm;
  deployment.capability = is_cuda ? DeviceCapability{9, 0} : DeviceCapability{9, 4};
  if (!is_cuda && !is_rocm) deployment.capability = {};
  if (const auto words = given.word("capability")) {
    if (!is_cuda && !is_rocm) {
      throw ScenarioError(text("--capability ", *words, ": platform ", name_of(deployment.platform),
                               " has none; cuda and rocm have"));
    }
    deployment.capability = capability_of(*words);
  }
  deployment.libraries = usual_libraries(deployment.platform);
  const Words listed = given.listed("libraries");
  if (listed.empty() || listed == Words{"usual"}) return;
  deployment.libraries = {};
  if (listed == Words{"none"}) return;
  Words valid = names_in(all_libraries());
  for (const std::string& word : listed) {
    if (word == "usual" || word == "none") {
      throw ScenarioError(text("--libraries: '", word, "' stands alone"));
    }
    valid.emplace_back("usual");
    valid.emplace_back("none");
    chosen("--libraries", word, valid);
    for (const Library library : all_libraries()) {
      if (name_of(library) == word) deployment.libraries = deployment.libraries.with({library});
    }
  }
}

constexpr Count ranks_max = 1 << 20;

int ranks_in(const GivenOptions& given, const std::string& option) {
  const int ranks = given.number(option).value_or(1);
  if (ranks < 1 || ranks > 4096) {
    throw ScenarioError(text("--", option, ": ", ranks, " is no number from 1 to 4096"));
  }
  return ranks;
}

// The words of all2all_backend in a profile, those included that it rewrites.
Words all2all_words(const Profile& profile) {
  Words words;
  for (const std::string_view name : all_backend_names()) {
    const std::string_view configured = configured_backend(profile, name);
    const bool is_there = std::ranges::count(backends_in(profile), configured) > 0;
    if (is_there && traits_of(configured).transport != Transport::none) words.emplace_back(name);
  }
  return words;
}

void set_layout(const GivenOptions& given, const Profile& profile, ExpertsDeployment& deployment) {
  deployment.sizes.dp = ranks_in(given, "dp");
  deployment.sizes.tp = ranks_in(given, "tp");
  deployment.sizes.pcp = ranks_in(given, "pcp");
  const ParallelSizes& sizes = deployment.sizes;
  const Count ranks = Count{sizes.dp} * sizes.tp * sizes.pcp;
  if (ranks > ranks_max) {
    throw ScenarioError(text("--dp ", sizes.dp, ", --tp ", sizes.tp, ", --pcp ", sizes.pcp,
                             ": together ", ranks, " ranks, more than ", ranks_max));
  }
  deployment.enable_expert_parallel = given.has("ep");
  deployment.sequence_parallel = given.has("sequence-parallel");
  deployment.enable_eplb = given.has("eplb");
  if (const auto name = given.chosen_word("all2all", all2all_words(profile))) {
    deployment.all2all_backend = *name;
  }
}

// REQUIRES that the layout is set.
std::optional<int> experts_in(const GivenOptions& given, const Profile& profile,
                              const ExpertsDeployment& deployment) {
  const auto experts = given.number("experts");
  if (!experts) return {};
  const int ranks = parallel_traits_of(profile, deployment).ep_size;
  if (*experts < ranks || *experts > 65536) {
    throw ScenarioError(
        text("--experts: ", *experts, " is no number from ", ranks, " (EP ranks) to 65536"));
  }
  return experts;
}

Count size_in(const GivenOptions& given, const std::string& option, Count usual) {
  const Count size = given.count(option).value_or(usual);
  if (size < 1 || size > 1048576) {
    throw ScenarioError(text("--", option, ": ", size, " is no size from 1 to 1048576"));
  }
  return size;
}

void set_router(const GivenOptions& given, const Profile& profile, ExpertsDeployment& deployment) {
  const auto routers = all_router_kinds();
  if (const auto place = given.place("router", names_in(routers))) {
    deployment.router = routers[*place];
  }
  std::vector<RoutingMethod> methods;
  for (const RoutingMethod method : all_routing_methods()) {
    if (has_routing_method(profile, method)) methods.push_back(method);
  }
  if (const auto place = given.place("routing-method", names_in(methods))) {
    if (given.has("router")) {
      throw ScenarioError("--router and --routing-method: the method follows from the router; one");
    }
    deployment.routing_method = methods[*place];
  }
  if (const auto type = given.chosen_word("router-logits", {"bf16", "f16", "f32"})) {
    deployment.router_logits_dtype = dtype_named(*type).value();
  }
}

// A word that other profiles know, or scenarios, gets the answer that helps.
QuantScheme quant_in(const std::string& word, const Profile& profile) {
  const std::vector<QuantScheme> schemes = quant_schemes_in(profile);
  for (const QuantScheme& scheme : all_quant_schemes()) {
    if (scheme.name != word) continue;
    if (scheme.eras.covers(profile)) return scheme;
    throw ScenarioError(text("--quant ", word, ": no oracle of ", profile.name,
                             " is asked about it, late-2026 has one; here are ",
                             joined(names_in(schemes))));
  }
  for (const QuantizationScheme& scheme : quant_schemes) {
    if (scheme.name != word) continue;
    throw ScenarioError(text("--quant ", word, ": that is a scenario's word, the oracles call it ",
                             oracle_scheme_of(scheme)->name));
  }
  chosen("--quant", word, names_in(schemes));
  throw ContractError("a quantisation that was found among the names: " + word);
}

void set_model(const GivenOptions& given, const Profile& profile, ExpertsDeployment& deployment) {
  if (const auto word = given.word("quant")) deployment.quant = quant_in(*word, profile);
  const auto activations = all_moe_activations();
  if (const auto place = given.place("activation", names_in(activations))) {
    deployment.activation = activations[*place];
  }
  deployment.hidden_size = size_in(given, "hidden", deployment.hidden_size);
  deployment.intermediate_size = size_in(given, "intermediate", deployment.intermediate_size);
  deployment.has_bias = given.has("bias");
  deployment.has_swiglu_limit = given.has("swiglu-limit");
  deployment.allow_vllm_cutlass = !given.has("no-vllm-cutlass");
  deployment.enable_lora = given.has("lora");
  deployment.batch_invariant = given.has("batch-invariant");
}

// Lower case, _ for -.
std::string folded(std::string word) {
  for (char& letter : word) {
    if (letter == '-') letter = '_';
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return word;
}

// vLLM's normalisation of the word too.
std::string moe_backend_word(const GivenOptions& given, const Profile& profile) {
  const std::string word = folded(given.word("moe-backend").value_or("auto"));
  const auto valid = moe_backend_words(profile);
  return chosen("--moe-backend", word, {valid.begin(), valid.end()});
}

void set_environment(const GivenOptions& given, ExpertsDeployment& deployment) {
  for (const std::string& setting : given.words("env")) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      throw ScenarioError(text("--env: '", setting, "' sets nothing; as in VLLM_USE_DEEP_GEMM=0"));
    }
    const std::string name = setting.substr(0, equals);
    if (name == "VLLM_BATCH_INVARIANT") {
      throw ScenarioError("--env VLLM_BATCH_INVARIANT: it is the option --batch-invariant here");
    }
    const auto& variable = row_named("variable of --env", all_oracle_variables(), name);
    const auto value = variable_value(variable, setting.substr(equals + 1));
    if (!value) {
      throw ScenarioError(text("--env ", name, ": '", setting.substr(equals + 1),
                               "' is not one of ", joined(values_taken(variable))));
    }
    if (deployment.environment.is_set(name)) {
      throw ScenarioError(text("--env ", name, ": set twice"));
    }
    deployment.environment.set(name, *value);
  }
}

// In any case, as nobody remembers whether it is TRITON or TritonExperts.
std::string backend_or_class(const std::string& word, const Profile& profile,
                             const OracleFamily& family) {
  const std::vector<std::string> names = names_of_family(profile, family);
  for (const std::string& name : names) {
    if (folded(name) == folded(word)) return name;
  }
  return chosen(text("--why-not, of the ", name_of(family.name), " oracle under ", profile.name),
                word, names);
}

// What describes a deployment, or asks about one, means nothing to the cross product.
void refuse_deployment_options(const GivenOptions& given, const std::string& option) {
  for (const OptionRow& row : deployment_table()) {
    if (!given.has(row.word)) continue;
    throw ScenarioError(
        text("--", option, " goes over deployments of its own: --", row.word, " describes one"));
  }
}

// --all, or --fault over the same deployments.
OracleQuery one_table(const GivenOptions& given) {
  OracleQuery query{.profile = given.word("profile").value_or(std::string(default_profile))};
  described_profile("--profile", query.profile);
  query.all = given.has("all");
  if (const auto words = given.word("fault")) {
    query.fault = parsed_oracle_fault(*words, query.profile);
  }
  return query;
}

OracleQuery cross_product(const GivenOptions& given) {
  const bool is_diff = given.has("diff");
  const bool is_fault = given.has("fault");
  const Words names = given.free_words();
  refuse_deployment_options(given, is_diff ? "diff" : is_fault ? "fault" : "all");
  if (is_diff && is_fault) throw ScenarioError("--diff and --fault: one of both");
  if (!is_diff) return one_table(given);
  if (given.has("all") || given.has("profile")) {
    throw ScenarioError(
        "--diff P1 P2 has its own profiles and goes over all: without --all and "
        "--profile");
  }
  if (names.size() != 1) {
    throw ScenarioError(
        text("--diff wants two profiles, --diff P1 P2, of ", joined(oracle_profiles())));
  }
  const std::string from = *given.word("diff");
  described_profile("--diff", from);
  described_profile("--diff", names.front());
  return {
      .profile = {}, .deployment = {}, .why_not = {}, .diff_from = from, .diff_to = names.front()};
}

OracleQuery query_of(const GivenOptions& given) {
  const bool is_table = given.has("all") || given.has("fault");
  if (!given.has("diff") && !given.free_words().empty()) {
    throw ScenarioError(text("oracle: '", given.free_words().front(),
                             "' belongs to no option (moebius oracle --help)"));
  }
  if (is_table || given.has("diff")) return cross_product(given);
  OracleQuery query{.profile = given.word("profile").value_or(std::string(default_profile))};
  const Profile& profile = described_profile("--profile", query.profile);
  set_device(given, query.deployment);
  set_layout(given, profile, query.deployment);
  query.num_experts = experts_in(given, profile, query.deployment);
  set_model(given, profile, query.deployment);
  set_router(given, profile, query.deployment);
  query.deployment.moe_backend = moe_backend_word(given, profile);
  set_environment(given, query.deployment);
  const OracleFamily& family = oracle_family(query.deployment.quant.family);
  for (const std::string& word : given.words("why-not")) {
    query.why_not.push_back(backend_or_class(word, profile, family));
  }
  return query;
}

}  // namespace

Command oracle_options(const Words& arguments) {
  const GivenOptions given(arguments, table());
  if (given.has("help")) return PrintCommand{options_help(usage, table())};
  return OracleCommand{query_of(given), report_options(given)};
}

}  // namespace moe::sim
