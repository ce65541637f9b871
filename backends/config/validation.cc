// One function for each row of the rules. They ask traits and numbers, never a backend's name, and
// answer with the values that break the rule.

#include "backends/config/validation.h"

#include <array>

#include "backends/config/backend_traits.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using enum Era;
using Config = const DeploymentConfig&;

// "value says; what must be" where the condition holds.
std::string where(bool is_broken, const std::string& what) { return is_broken ? what : ""; }

// An alias, whose rows the same kernels move, is the communicator's to rewrite.
std::string v1(const Profile& profile, Config config) {
  for (const Replacement& one : replacements_in(profile)) {
    if (one.name != config.all2all_backend) continue;
    if (traits_of(one.name).transport == traits_of(one.replaced_by).transport) continue;
    return text("all2all_backend ", one.name, " is replaced by ", one.replaced_by);
  }
  return "";
}

std::string v2(const Profile&, Config config) {
  const bool is_alike = config.platform == Platform::cuda || config.platform == Platform::rocm;
  return where(config.enable_eplb && !is_alike,
               text("enable_eplb on platform ", name_of(config.platform),
                    ": it exists on cuda and rocm only"));
}

std::string v3(const Profile&, Config config) {
  return where(config.enable_eplb && !config.enable_expert_parallel,
               "enable_eplb without enable_expert_parallel: there are no experts to move");
}

int expert_ranks(Config config) { return config.sizes.tp * config.sizes.pcp * config.sizes.dp; }

std::string v4(const Profile&, Config config) {
  return where(config.enable_eplb && expert_ranks(config) == 1,
               "enable_eplb with tp x pcp x dp 1: more ranks than one are needed");
}

std::string v5(const Profile&, Config config) {
  const int redundant = config.eplb.num_redundant_experts;
  return where(redundant != 0 && !config.enable_eplb,
               text("num_redundant_experts ", redundant, " without enable_eplb: it must be 0"));
}

std::string v6(const Profile&, Config config) {
  const std::string communicator = eplb_communicator_of(config);
  const bool is_nccl = communicator == "torch_nccl" || communicator == "pynccl";
  return where(config.enable_eplb && config.eplb.use_async && is_nccl,
               text("eplb use_async with communicator ", communicator,
                    ": weights that move beside the step need another one: nixl, torch_gloo"));
}

std::string v7_local(const Profile&, Config config) {
  const int local = config.data_parallel_size_local.value_or(config.sizes.dp);
  return where(local > config.sizes.dp, text("data_parallel_size_local ", local,
                                             " is above data_parallel_size ", config.sizes.dp));
}

std::string v7_rank(const Profile&, Config config) {
  const int rank = config.data_parallel_rank;
  return where(rank < 0 || rank >= config.sizes.dp,
               text("data_parallel_rank ", rank, " is not in [0, ", config.sizes.dp, ")"));
}

std::string v7_external(const Profile&, Config config) {
  return where(config.load_balancing == LoadBalancing::external && config.sizes.dp == 1,
               "an external load balancer needs data_parallel_size above 1, not 1");
}

std::string v8(const Profile&, Config config) {
  return where(config.sizes.pcp > 1 && config.sizes.dp > 1,
               text("pcp ", config.sizes.pcp, " and dp ", config.sizes.dp,
                    ": PCP beside data parallelism is not supported by vLLM"));
}

std::string v9_eplb(const Profile&, Config config) {
  return where(config.enable_elastic_ep && !config.enable_eplb,
               "enable_elastic_ep without enable_eplb: experts must move with the ranks");
}

std::string v9_pp(const Profile&, Config config) {
  return where(config.enable_elastic_ep && config.sizes.pp > 1,
               text("enable_elastic_ep with pp ", config.sizes.pp, ": it must be 1"));
}

std::string v9_hybrid(const Profile&, Config config) {
  return where(config.enable_elastic_ep && config.load_balancing == LoadBalancing::hybrid,
               "enable_elastic_ep with a hybrid load balancer: internal or external only");
}

std::string v9_async(const Profile&, Config config) {
  const std::string communicator = eplb_communicator_of(config);
  return where(config.enable_elastic_ep && config.eplb.use_async && communicator != "nixl",
               text("enable_elastic_ep with eplb use_async and communicator ", communicator,
                    ": it must be nixl"));
}

std::string v10(const Profile& profile, Config config) {
  if (!use_ubatching(config)) return "";
  if (holds(traits_of(config.all2all_backend).micro_batches, profile)) return "";
  const auto takes = backends_with(profile, &BackendTraits::micro_batches);
  return text("micro-batches (enable_dbo, ubatch_size) with all2all_backend ",
              config.all2all_backend, ": under profile ", profile.name, " ",
              takes.empty() ? "no backend takes them" : text("only ", joined(takes), " take them"));
}

std::string v10_cascade(const Profile&, Config config) {
  return where(use_ubatching(config), "cascade attention is disabled under micro-batches");
}

std::string v11(const Profile&, Config config) {
  return where(traits_of(config.all2all_backend).needs_host_counts && config.sizes.dp > 1,
               text("all2all_backend ", config.all2all_backend, " with dp ", config.sizes.dp,
                    " waits for counts on the host: cudagraph mode is set to NONE"));
}

std::string v12(const Profile&, Config config) {
  return where(config.enable_lora && config.enable_expert_parallel &&
                   !traits_of(config.all2all_backend).carries_lora,
               text("LoRA and expert parallelism with all2all_backend ", config.all2all_backend,
                    ": the map of tokens to adapters travels with allgather_reducescatter only"));
}

std::string v13(const Profile&, Config config) {
  return where(
      config.enable_fault_tolerance && !traits_of(config.all2all_backend).is_fault_tolerant,
      text("fault tolerance with all2all_backend ", config.all2all_backend,
           ": a backend that can leave out ranks is needed (nixl_ep)"));
}

std::string v14_fused(const Profile&, Config config) {
  return where(traits_of(config.all2all_backend).needs_aiter && !config.aiter_fused_moe,
               text("all2all_backend ", config.all2all_backend, " without AITER's fused MoE"));
}

std::string v14_shared(const Profile&, Config config) {
  return where(traits_of(config.all2all_backend).needs_aiter && config.aiter_shared_experts,
               text("all2all_backend ", config.all2all_backend,
                    " with AITER's fusion of shared experts: it must be disabled"));
}

std::string v15(const Profile&, Config config) {
  const bool is_hybrid =
      config.sizes.tp > 1 && config.sizes.dp > 1 && config.enable_expert_parallel;
  return where(config.with_47778 && config.platform == Platform::cpu && is_hybrid,
               text("tp ", config.sizes.tp, ", dp ", config.sizes.dp,
                    " and expert parallelism together on platform cpu"));
}

std::string v16_width(const Profile&, Config config) {
  const int tp_size = config.enable_expert_parallel ? 1 : expert_ranks(config);
  return where(config.intermediate_size % tp_size != 0,
               text("intermediate_size ", config.intermediate_size, " does not divide by the ",
                    tp_size, " ranks that share every expert"));
}

std::string v16_eplb(const Profile&, Config config) {
  const int ep_size = config.enable_expert_parallel ? expert_ranks(config) : 1;
  const Count experts = config.num_experts + config.eplb.num_redundant_experts;
  return where(config.enable_eplb && experts % ep_size != 0,
               text(experts, " experts (redundant ones included) do not divide by ep size ",
                    ep_size, ", which EPLB needs"));
}

constexpr EraSpan always = {};
constexpr auto error = FindingKind::error;

constexpr std::array rules = {
    ConfigRule{"V1",
               FindingKind::warning,
               {post_33724, late_2026},
               "#33724, #36294",
               "a removed name falls back to its replacement",
               v1},
    ConfigRule{"V2", error, always, "config/parallel.py", "EPLB on CUDA-alike platforms only", v2},
    ConfigRule{"V3", error, always, "config/parallel.py", "EPLB needs expert parallelism", v3},
    ConfigRule{"V4", error, always, "config/parallel.py", "EPLB needs more than one rank", v4},
    ConfigRule{"V5", error, always, "config/parallel.py", "redundant experts need EPLB", v5},
    ConfigRule{"V6",
               error,
               {post_33724, late_2026},
               "config/parallel.py",
               "asynchronous EPLB needs a communicator other than NCCL's",
               v6},
    ConfigRule{"V7", error, always, "config/parallel.py", "local DP ranks are some of all",
               v7_local},
    ConfigRule{"V7", error, always, "config/parallel.py", "the DP rank is one of them", v7_rank},
    ConfigRule{"V7", error, always, "config/parallel.py",
               "an external load balancer needs DP ranks", v7_external},
    ConfigRule{"V8", error, always, "config/parallel.py", "PCP and DP exclude each other", v8},
    ConfigRule{"V9",
               error,
               {post_33724, late_2026},
               "config/parallel.py",
               "elastic EP needs EPLB",
               v9_eplb},
    ConfigRule{"V9",
               error,
               {post_33724, late_2026},
               "config/parallel.py",
               "elastic EP forbids pipeline stages",
               v9_pp},
    ConfigRule{"V9",
               error,
               {post_33724, late_2026},
               "config/parallel.py",
               "elastic EP forbids hybrid load balancing",
               v9_hybrid},
    ConfigRule{"V9",
               error,
               {post_33724, late_2026},
               "config/parallel.py",
               "elastic EP with asynchronous EPLB needs NIXL's communicator",
               v9_async},
    ConfigRule{"V10", error, always, "config/vllm.py (assertion)",
               "micro-batches on backends that can wait for each other's halves", v10},
    ConfigRule{"V10",
               FindingKind::info,
               {pre_33724, late_2026},
               "config/vllm.py",
               "micro-batches turn cascade attention off",
               v10_cascade},
    ConfigRule{"V11", FindingKind::info, always, "config/vllm.py",
               "a backend that waits on the host allows no CUDA graphs under DP", v11},
    ConfigRule{"V12",
               error,
               {pre_33724, late_2026},
               "config/lora.py",
               "LoRA and expert parallelism go with AG/RS only",
               v12},
    ConfigRule{"V13",
               error,
               {late_2026, late_2026},
               "a fork",
               "fault tolerance needs a backend that has it",
               v13},
    ConfigRule{
        "V14", error, {pre_33724, late_2026}, "#28664", "MoRI needs AITER's fused MoE", v14_fused},
    ConfigRule{"V14",
               error,
               {pre_33724, late_2026},
               "#28664",
               "MoRI forbids AITER's fusion of shared experts",
               v14_shared},
    ConfigRule{"V15",
               error,
               {late_2026, late_2026},
               "#47778 (open)",
               "CPU takes no TP beside DP with expert parallelism",
               v15},
    ConfigRule{"V16", error, always, "fused_moe/layer.py",
               "ranks that share experts divide their width", v16_width},
    ConfigRule{"V16", error, always, "fused_moe/layer.py",
               "under EPLB ranks hold equal numbers of experts", v16_eplb},
};

}  // namespace

std::string_view name_of(FindingKind kind) {
  constexpr std::array<std::string_view, 3> words = {"error", "warning", "info"};
  return words[static_cast<std::size_t>(kind)];
}

std::string eplb_communicator_of(const DeploymentConfig& config) {
  if (!config.eplb.communicator.empty()) return config.eplb.communicator;
  if (config.has_nixl) return "nixl";
  return config.enable_elastic_ep ? "pynccl" : "torch_gloo";
}

std::span<const ConfigRule> all_config_rules() { return rules; }

std::string_view configured_backend(const Profile& profile, std::string_view name) {
  for (const Replacement& one : replacements_in(profile)) {
    if (one.name == name) return one.replaced_by;
  }
  return name;
}

std::vector<ConfigFinding> validate(const Profile& profile, const DeploymentConfig& config) {
  DeploymentConfig resolved = config;
  resolved.all2all_backend = configured_backend(profile, config.all2all_backend);
  std::vector<ConfigFinding> findings;
  for (const ConfigRule& rule : rules) {
    if (!rule.eras.covers(profile)) continue;
    const std::string broken = rule.broken_by(profile, rule.id == "V1" ? config : resolved);
    if (!broken.empty()) findings.push_back({rule.id, rule.kind, text(rule.id, ": ", broken)});
  }
  return findings;
}

}  // namespace moe
