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

constexpr EraSpan late{Era::late_2026, Era::late_2026};

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
    PrepareFinalizeClass{
        .name = "MoriPrepareAndFinalize", .transport = mori, .needs_even_experts = true},
    PrepareFinalizeClass{.name = "FlashInferNVLinkTwoSidedPrepareAndFinalize",
                         .transport = flashinfer_two_sided},
    // #39717: other rows were taken and went wrong before.
    PrepareFinalizeClass{.name = "FlashInferNVLinkOneSidedPrepareAndFinalize",
                         .transport = flashinfer_one_sided,
                         .only_activation = QuantKey::nvfp4_dynamic},
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

std::string rows_text(const PrepareFinalizeClass& moves, const KernelOptions& options) {
  if (!moves.only_activation || *moves.only_activation == options.activation) return "";
  return text("ValueError: ", moves.name, " carries ", name_of(*moves.only_activation),
              " rows only, not ", name_of(options.activation), " (#39717)");
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
      return rows_text(moves, options);
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

}  // namespace

std::span<const PrepareFinalizeClass> all_prepare_finalize_classes() { return rows; }

const PrepareFinalizeClass* prepare_finalize_class_of(const Profile& profile,
                                                      const ExpertsDeployment& deployment,
                                                      bool is_monolithic) {
  const Transport transport =
      transport_of(profile, deployment, parallel_traits_of(profile, deployment));
  const auto* row = std::ranges::find_if(rows, [&](const PrepareFinalizeClass& one) {
    return one.transport == transport && one.is_monolithic == is_monolithic &&
           one.eras.covers(profile);
  });
  return row == rows.end() ? nullptr : row;
}

KernelOptions right_options(const ExpertsClass& experts) {
  if (experts.format == standard) return {};
  return {.max_num_tokens = 256, .num_dispatchers = 2};
}

std::string_view name_of(PairRule rule) {
  constexpr std::array<std::string_view, 10> words = {
      "no_prepare_finalize", "same_interface", "same_format",  "parallel_config",
      "sizes_of_format",     "rows_carried",   "even_experts", "linear_experts",
      "shared_experts",      "in_place"};
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
