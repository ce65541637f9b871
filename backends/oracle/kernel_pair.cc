// The rows, and the rules in the order in which vLLM meets them: the factory, the kernel's
// constructor, the experts' own, then what a call asserts.
// UNVERIFIED: which of the checks are assertions and which ValueErrors, where the page says only
// that they refuse.

#include "backends/oracle/kernel_pair.h"

#include <algorithm>
#include <array>

#include "backends/config/predicates.h"
#include "backends/config/validation.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using enum ActivationFormat;
using enum Transport;

constexpr EraSpan until_late{Era::v0_9, Era::post_40412};
constexpr EraSpan late{Era::late_2026, Era::late_2026};
// FlashInfer one-sided: the two pages differ, and each is right in its time. experts-and-oracles.md
// (5) was read in April 2026: nvfp4 rows or ValueError (#39717). distribution-layer.md (9.7, 10)
// has what came later: bf16 and mxfp8 with #40960, three days after #40412, and blocks of 128 with
// #51924, whose author says as much. So the span of eras decides. UNVERIFIED: that #51924, of
// August 2026, is in late-2026's commit; and before #39717 other rows were taken and went wrong,
// which no profile tells apart.
constexpr std::array nvfp4_alone = {QuantKey::nvfp4_dynamic};
constexpr std::array one_sided_late = {QuantKey::none, QuantKey::nvfp4_dynamic,
                                       QuantKey::mxfp8_dynamic, QuantKey::fp8_dynamic_128};

constexpr std::array rows = {
    PrepareFinalizeClass{.name = "MoEPrepareAndFinalizeNoDPEPModular"},
    PrepareFinalizeClass{.name = "MoEPrepareAndFinalizeNoDPEPMonolithic", .is_monolithic = true},
    PrepareFinalizeClass{.name = "MoEPrepareAndFinalizeNaiveDPEPModular",
                         .transport = allgather_reducescatter},
    PrepareFinalizeClass{.name = "MoEPrepareAndFinalizeNaiveDPEPMonolithic",
                         .transport = allgather_reducescatter,
                         .is_monolithic = true},
    PrepareFinalizeClass{.name = "DeepEPHTPrepareAndFinalize",
                         .transport = deepep_high_throughput,
                         .supports_async = true,
                         .needs_even_experts = true},
    PrepareFinalizeClass{.name = "DeepEPLLPrepareAndFinalize",
                         .transport = deepep_low_latency,
                         .format = batched_experts,
                         .supports_async = true,
                         .needs_even_experts = true},
    PrepareFinalizeClass{.name = "DeepEPV2PrepareAndFinalize",
                         .transport = deepep_v2,
                         .supports_async = true,
                         .needs_even_experts = true,
                         .eras = late},
    // distribution-layer.md, 9.6. vLLM's layer.py asserts that AITER's fused MoE is switched on.
    PrepareFinalizeClass{.name = "MoriPrepareAndFinalize",
                         .transport = mori,
                         .needs_even_experts = true,
                         .needs_aiter_experts = true},
    PrepareFinalizeClass{.name = "FlashInferNVLinkTwoSidedPrepareAndFinalize",
                         .transport = flashinfer_two_sided},
    PrepareFinalizeClass{.name = "FlashInferNVLinkOneSidedPrepareAndFinalize",
                         .transport = flashinfer_one_sided,
                         .carries = nvfp4_alone,
                         .carries_since = "#39717",
                         .eras = until_late},
    PrepareFinalizeClass{.name = "FlashInferNVLinkOneSidedPrepareAndFinalize",
                         .transport = flashinfer_one_sided,
                         .carries = one_sided_late,
                         .carries_error = OracleError::not_implemented_error,
                         .carries_since = "#40960, #51924",
                         .eras = late},
    PrepareFinalizeClass{.name = "NixlEPPrepareAndFinalize",
                         .transport = nixl,
                         .format = batched_experts,
                         .supports_async = true,
                         .needs_even_experts = true}};

// What vLLM calls the two halves' kind.
std::string_view interface_of(bool is_monolithic) {
  return is_monolithic ? "monolithic" : "modular";
}

// Limits that the transport breaks, of the class or its parts.
std::string limits_text(const PrepareFinalizeClass& moves, const ExpertsClass& experts,
                        const KernelOptions& options) {
  const bool has_transport = moves.transport != none;
  const ParallelTraits parallel{
      .dp_size = options.dp_size,
      .ep_size = options.ep_size,
      .use_all2all_kernels = has_transport,
      .use_ag_rs_all2all_kernels = moves.transport == allgather_reducescatter,
      .use_flashinfer_nvlink_kernels =
          moves.transport == flashinfer_two_sided || moves.transport == flashinfer_one_sided,
      .use_deepep_ht_kernels = moves.transport == deepep_high_throughput,
      .use_deepep_v2_kernels = moves.transport == deepep_v2,
      .use_batched_activation_format = moves.format == batched_experts,
      .enable_eplb = options.enable_eplb};
  for (const ExpertsClass& row : all_experts_classes()) {
    const bool is_asked = experts.is_composite()
                              ? row.name == experts.parts[0] || row.name == experts.parts[1]
                              : &row == &experts;
    if (!is_asked) continue;
    const auto broken = broken_limits(row, parallel);
    if (broken.empty()) continue;
    return text("ValueError: kernel does not support parallel config (", row.name, " wants ",
                joined(broken, " and "), ")");
  }
  return "";
}

std::string sizes_text(const ExpertsClass& experts, const KernelOptions& options) {
  const bool has_both = options.max_num_tokens && options.num_dispatchers;
  const bool has_any = options.max_num_tokens || options.num_dispatchers;
  if (experts.format == batched_experts && !has_both) {
    return text("ValueError: ", experts.name, " is of the batched format: max_num_tokens and ",
                "num_dispatchers must be given");
  }
  if (experts.format == standard && has_any) {
    return text("ValueError: ", experts.name, " is of the standard format: max_num_tokens and ",
                "num_dispatchers must not be given");
  }
  return "";
}

// Whether every device that it takes is one with AITER.
bool is_of_aiter(const ExpertsClass& experts) {
  return !experts.devices.empty() &&
         std::ranges::all_of(experts.devices,
                             [](const DeviceRule& rule) { return rule.needs.has(Library::aiter); });
}

std::string aiter_text(const PrepareFinalizeClass& moves, const ExpertsClass& experts) {
  if (!moves.needs_aiter_experts || is_of_aiter(experts)) return "";
  return text("AssertionError: ", moves.name, " goes with AITER's experts only ",
              "(VLLM_ROCM_USE_AITER=1), not with ", experts.name);
}

std::string even_text(const PrepareFinalizeClass& moves, const ExpertsClass& experts,
                      const KernelOptions& options) {
  if (options.num_experts % options.ep_size == 0) return "";
  const std::string counts =
      text(options.num_experts, " experts on ", options.ep_size, " ranks are uneven");
  if (moves.needs_even_experts) {
    return text("ValueError: ", counts, ": ", moves.name, " counts num_experts div ranks on each");
  }
  const bool counts_from_rank = experts.format == standard && !experts.expert_map;
  return counts_from_rank
             ? text("ValueError: ", counts, ": ", experts.name,
                    " takes no expert map, its range begins at rank times local experts")
             : "";
}

std::string linear_text(const ExpertsClass& experts, const KernelOptions& options) {
  const bool counts_from_rank = experts.format == standard && !experts.expert_map;
  if (options.is_linear || options.ep_size == 1 || !counts_from_rank) return "";
  return text("ValueError: ", experts.name, " takes no expert map: its experts are a range, ",
              "round_robin deals them otherwise");
}

std::string shared_text(const PrepareFinalizeClass& moves, const ExpertsClass& experts,
                        const KernelOptions& options) {
  if (!options.shared_experts_inside) return "";
  if (experts.is_monolithic) {
    return text("AssertionError: ", experts.name,
                " is monolithic: shared experts never run inside it");
  }
  return moves.supports_async
             ? ""
             : text("AssertionError: ", moves.name,
                    " is not asynchronous: ", "shared experts cannot run inside the kernel");
}

std::string broken_text(PairRule rule, const PrepareFinalizeClass& moves,
                        const ExpertsClass& experts, const KernelOptions& options) {
  switch (rule) {
    case PairRule::same_interface:
      return moves.is_monolithic == experts.is_monolithic
                 ? ""
                 : text("ValueError: both halves must be modular or monolithic, but ", moves.name,
                        " is ", interface_of(moves.is_monolithic), " and ", experts.name, " is ",
                        interface_of(experts.is_monolithic));
    case PairRule::same_format:
      return moves.format == experts.format
                 ? ""
                 : text("AssertionError: ", moves.name, " gives the ", name_of(moves.format),
                        " format and ", experts.name, " takes the ", name_of(experts.format),
                        " one");
    case PairRule::parallel_config:
      return limits_text(moves, experts, options);
    case PairRule::sizes_of_format:
      return sizes_text(experts, options);
    case PairRule::rows_carried:
      return rows_refusal(moves, options.activation);
    case PairRule::aiter_experts:
      return aiter_text(moves, experts);
    case PairRule::even_experts:
      return even_text(moves, experts, options);
    case PairRule::linear_experts:
      return linear_text(experts, options);
    case PairRule::shared_experts:
      return shared_text(moves, experts, options);
    case PairRule::in_place:
      return options.in_place && experts.is_monolithic
                 ? text("AssertionError: ", experts.name, " is monolithic: no output in place")
                 : "";
    case PairRule::no_prepare_finalize:
      break;
  }
  return "";
}

// The transport whose class the factory takes: AG/RS where DP ranks share experts without EP.
Transport transport_of(const Profile& profile, const ExpertsDeployment& deployment,
                       const ParallelTraits& parallel) {
  if (!parallel.use_all2all_kernels) {
    return parallel.dp_size > 1 ? allgather_reducescatter : none;
  }
  if (parallel.use_ag_rs_all2all_kernels) return allgather_reducescatter;
  return traits_of(configured_backend(profile, deployment.all2all_backend)).transport;
}

const PrepareFinalizeClass* row_of(const Profile& profile, Transport transport,
                                   bool is_monolithic) {
  const auto* row = std::ranges::find_if(rows, [&](const PrepareFinalizeClass& one) {
    return one.transport == transport && one.is_monolithic == is_monolithic &&
           one.eras.covers(profile);
  });
  return row == rows.end() ? nullptr : row;
}

}  // namespace

std::span<const PrepareFinalizeClass> all_prepare_finalize_classes() { return rows; }

std::string rows_refusal(const PrepareFinalizeClass& moves, QuantKey activation) {
  if (moves.carries.empty() || std::ranges::count(moves.carries, activation) > 0) return "";
  std::vector<std::string_view> carried;
  for (const QuantKey key : moves.carries) carried.push_back(name_of(key));
  return text(name_of(moves.carries_error), ": ", moves.name, " carries ", joined(carried),
              " rows only, not ", name_of(activation), " (", moves.carries_since, ")");
}

const PrepareFinalizeClass* prepare_finalize_class_of(const Profile& profile, Transport transport) {
  return row_of(profile, transport, false);
}

const PrepareFinalizeClass* prepare_finalize_class_of(const Profile& profile,
                                                      const ExpertsDeployment& deployment,
                                                      bool is_monolithic) {
  return row_of(profile, transport_of(profile, deployment, parallel_traits_of(profile, deployment)),
                is_monolithic);
}

KernelOptions right_options(const ExpertsClass& experts) {
  if (experts.format == standard) return {};
  return {.max_num_tokens = 256, .num_dispatchers = 2};
}

std::string_view name_of(PairRule rule) {
  constexpr std::array<std::string_view, 11> words = {
      "no_prepare_finalize", "same_interface", "same_format",   "parallel_config",
      "sizes_of_format",     "rows_carried",   "aiter_experts", "even_experts",
      "linear_experts",      "shared_experts", "in_place"};
  return words[static_cast<std::size_t>(rule)];
}

std::optional<PairRefusal> refusal_of(const PrepareFinalizeClass* prepare_finalize,
                                      const ExpertsClass& experts, const KernelOptions& options) {
  if (prepare_finalize == nullptr) {
    return PairRefusal{PairRule::no_prepare_finalize,
                       text("NotImplementedError: no ", interface_of(experts.is_monolithic),
                            " prepare/finalize moves rows with this all2all backend")};
  }
  for (int i = 1; i <= static_cast<int>(PairRule::in_place); ++i) {
    const auto rule = static_cast<PairRule>(i);
    std::string said = broken_text(rule, *prepare_finalize, experts, options);
    if (!said.empty()) return PairRefusal{rule, std::move(said)};
  }
  return std::nullopt;
}

}  // namespace moe
