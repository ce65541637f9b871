// One row a name (distribution-layer.md, 9). Where a library's order is not known it is free, and
// what it leaves of foreign choices is read from what most of them are.

#include "sim/capture_contracts.h"

#include <array>

namespace moe::sim {
namespace {

using golden::CaptureContract;
using golden::Delivery;
using golden::ReceiveOrder;

constexpr CaptureContract gathers = {.delivery = Delivery::every_rank,
                                     .order = ReceiveOrder::by_source,
                                     .sums_in_any_order = true,
                                     .gathers_over_dp = true};
constexpr CaptureContract stays = {
    .delivery = Delivery::every_rank, .order = ReceiveOrder::by_source, .moves_nothing = true};
constexpr CaptureContract high_throughput = {.delivery = Delivery::owner_ranks,
                                             .order = ReceiveOrder::by_source};
constexpr CaptureContract low_latency = {.delivery = Delivery::experts,
                                         .order = ReceiveOrder::source_blocks,
                                         .has_capacity_per_peer = true};
constexpr CaptureContract nixl = {.delivery = Delivery::experts,
                                  .order = ReceiveOrder::source_blocks};
constexpr CaptureContract per_expert = {.delivery = Delivery::experts,
                                        .order = ReceiveOrder::free,
                                        .tp_peers_send_once = true,
                                        .has_capacity_per_peer = true};
constexpr CaptureContract worst_case_buffer = {.delivery = Delivery::owner_ranks,
                                               .order = ReceiveOrder::free,
                                               .clears_foreign = false,
                                               .may_pad = true};
constexpr CaptureContract nvlink_two_sided = {.delivery = Delivery::owner_ranks,
                                              .order = ReceiveOrder::source_blocks,
                                              .clears_foreign = false,
                                              .may_pad = true};
constexpr CaptureContract nvlink_one_sided = {
    .delivery = Delivery::owner_ranks, .order = ReceiveOrder::source_blocks, .may_pad = true};

constexpr std::array rows = {
    CaptureContractRow{"no_ep", "", stays},
    CaptureContractRow{"skeleton", "is the file to copy for a backend, nobody else has it"},
    CaptureContractRow{"allgather_reducescatter", "", gathers},
    CaptureContractRow{"naive", "", gathers},
    CaptureContractRow{"pplx", "", per_expert},
    CaptureContractRow{"deepep_high_throughput", "", high_throughput},
    CaptureContractRow{"deepep_low_latency", "", low_latency},
    CaptureContractRow{"deepep_v2", "whom it sends to and who weights is not known"},
    CaptureContractRow{"nixl_ep", "", nixl},
    CaptureContractRow{"mori", "", worst_case_buffer},
    CaptureContractRow{"mori_high_throughput", "", worst_case_buffer},
    CaptureContractRow{"mori_low_latency", "", worst_case_buffer},
    CaptureContractRow{"flashinfer_all2allv", "", nvlink_two_sided},
    CaptureContractRow{"flashinfer_nvlink_two_sided", "", nvlink_two_sided},
    CaptureContractRow{"flashinfer_nvlink_one_sided", "", nvlink_one_sided},
};

}  // namespace

std::span<const CaptureContractRow> all_capture_contracts() { return rows; }

}  // namespace moe::sim
