// The table. Eras follow distribution-layer.md, 6.3, 6.4, 11.4, 12.1 and 17; where the page gives
// no date a row takes the first profile that has the name (MoRI and NIXL under sequence
// parallelism, the second and third backend for micro-batches: UNVERIFIED there).

#include "backends/config/backend_traits.h"

#include <algorithm>
#include <array>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

using enum Era;

constexpr BackendTraits low_latency{.name = "deepep_low_latency",
                                    .transport = Transport::deepep_low_latency,
                                    .sequence_parallel = EraSpan{pre_33724, late_2026},
                                    .batched_format = EraSpan{v0_9, late_2026},
                                    .batched_dp = EraSpan{post_39107, late_2026},
                                    .micro_batches = EraSpan{pre_33724, late_2026},
                                    .dp_chunked = EraSpan{v0_9, post_36286},
                                    .needs_routing_tables = true,
                                    .is_async = true,
                                    .capacity = CapacitySource::max_num_tokens,
                                    .weights_applied_by = WeightsAppliedBy::source_rank};

// Batched for the format question since #40412 only, for capacity since #39107.
constexpr BackendTraits nixl{.name = "nixl_ep",
                             .transport = Transport::nixl,
                             .sequence_parallel = EraSpan{post_33724, late_2026},
                             .batched_format = EraSpan{post_40412, late_2026},
                             .batched_dp = EraSpan{post_39107, late_2026},
                             .micro_batches = EraSpan{post_33724, late_2026},
                             .dp_chunked = EraSpan{post_33724, post_36286},
                             .needs_routing_tables = true,
                             .is_async = true,
                             .is_fault_tolerant = true,
                             .capacity = CapacitySource::max_num_tokens,
                             .weights_applied_by = WeightsAppliedBy::source_rank};

// lives: the profiles that have the name.
constexpr BackendTraits mori(std::string_view name, EraSpan lives,
                             std::optional<EraSpan> dp_chunked = {}) {
  return {.name = name,
          .transport = Transport::mori,
          .sequence_parallel = lives,
          .dp_chunked = dp_chunked,
          .needs_aiter = true,
          .capacity = CapacitySource::max_num_tokens};
}

constexpr BackendTraits flashinfer_two_sided(std::string_view name) {
  return {.name = name,
          .transport = Transport::flashinfer_two_sided,
          .dp_chunked = EraSpan{post_33724, post_36286},
          .capacity = CapacitySource::step_maximum,
          .shared_overlap = SharedOverlap::never};
}

constexpr std::array rows = {
    BackendTraits{.name = "no_ep", .output_is_reduced = false},
    BackendTraits{.name = "skeleton", .is_in_line = true, .output_is_reduced = false},
    BackendTraits{.name = "allgather_reducescatter",
                  .transport = Transport::allgather_reducescatter,
                  .is_in_line = true,
                  .sequence_parallel = EraSpan{pre_33724, late_2026},
                  .output_is_reduced = false,
                  .carries_lora = true,
                  .shared_overlap = SharedOverlap::also_under_eplb},
    BackendTraits{.name = "naive",
                  .transport = Transport::broadcast,
                  .is_in_line = true,
                  .sequence_parallel = EraSpan{pre_33724, post_33724},
                  .output_is_reduced = false},
    BackendTraits{.name = "pplx",
                  .transport = Transport::pplx,
                  .batched_format = EraSpan{v0_9, pre_33724},
                  .dp_chunked = EraSpan{v0_9, pre_33724},
                  .is_async = true,
                  .capacity = CapacitySource::max_num_tokens,
                  .weights_applied_by = WeightsAppliedBy::source_rank},
    BackendTraits{.name = "deepep_high_throughput",
                  .transport = Transport::deepep_high_throughput,
                  .sequence_parallel = EraSpan{pre_33724, late_2026},
                  .micro_batches = EraSpan{pre_33724, late_2026},
                  .is_async = true,
                  .needs_host_counts = true},
    low_latency,
    BackendTraits{.name = "deepep_v2",
                  .transport = Transport::deepep_v2,
                  .is_async = true,
                  .capacity = CapacitySource::scheduler_over_sp},
    nixl,
    mori("mori", {pre_33724, post_40412}, EraSpan{post_33724, post_36286}),
    mori("mori_high_throughput", {late_2026, late_2026}),
    mori("mori_low_latency", {late_2026, late_2026}),
    flashinfer_two_sided("flashinfer_all2allv"),
    flashinfer_two_sided("flashinfer_nvlink_two_sided"),
    BackendTraits{.name = "flashinfer_nvlink_one_sided",
                  .transport = Transport::flashinfer_one_sided,
                  .sequence_parallel = EraSpan{late_2026, late_2026},
                  .capacity = CapacitySource::scheduler,
                  .shared_overlap = SharedOverlap::also_under_eplb},
};

}  // namespace

std::string_view name_of(Transport transport) {
  constexpr std::array<std::string_view, 11> words = {
      "none",
      "broadcast",
      "allgather_reducescatter",
      "pplx",
      "deepep_high_throughput",
      "deepep_low_latency",
      "deepep_v2",
      "nixl",
      "mori",
      "flashinfer_two_sided",
      "flashinfer_one_sided",
  };
  return words[static_cast<std::size_t>(transport)];
}

std::span<const BackendTraits> all_backend_traits() { return rows; }

const BackendTraits& traits_of(std::string_view backend) {
  const auto* row = std::ranges::find(rows, backend, &BackendTraits::name);
  MOE_CHECK(row != rows.end(), text("no traits of a backend ", backend));
  return *row;
}

std::vector<std::string_view> backends_with(const Profile& profile,
                                            std::optional<EraSpan> BackendTraits::*column) {
  std::vector<std::string_view> names = backends_in(profile);
  std::erase_if(names,
                [&](std::string_view name) { return !holds(traits_of(name).*column, profile); });
  return names;
}

std::string_view default_backend_of(const Profile& profile) {
  return era_of(profile) == v0_9 ? "naive" : "allgather_reducescatter";
}

}  // namespace moe
