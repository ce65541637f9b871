// The formulas. Every constant is a library's own and stands once; where a kernel asserts, the
// sentence says the value and the limit.

#include "backends/config/buffer_limits.h"

#include <algorithm>
#include <array>

#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr Count mebibyte = 1 << 20;
constexpr Count scale_block = 128;
constexpr Count message_header_bytes = 16;
constexpr Count low_latency_top_k_max = 11;
constexpr Count low_latency_scales_max = 64;
constexpr int high_throughput_ranks_max = 160;
constexpr Count high_throughput_row_unit = 512;
constexpr int high_throughput_multiprocessors = 20;

constexpr std::array<Count, 8> low_latency_sizes = {2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192};
constexpr std::array rank_counts = {2, 4, 8, 16, 24, 32, 64, 128, 144, 160};

constexpr Count up_to(Count value, Count multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

Count low_latency_rdma_bytes(const LowLatencyShape& shape) {
  const Count hidden = shape.hidden_size;
  const Count scales = hidden / scale_block;
  const Count dispatch_message = message_header_bytes + std::max(2 * hidden, hidden + 4 * scales);
  const Count combine_message = 4 * scales + 2 * hidden;
  const Count slots = shape.num_experts * shape.max_num_tokens;
  const Count sent = std::max(shape.max_num_tokens * dispatch_message, slots * combine_message);
  const Count received = slots * std::max(dispatch_message, combine_message);
  const Count signals = up_to(4 * shape.num_experts, 128);
  const Count both_halves = 2 * (sent + received + signals);
  // One more block of 128 where the sum is aligned already, as DeepEP has it.
  return (both_halves + 128) / 128 * 128;
}

Count low_latency_tokens_max(Count queue_depth) { return queue_depth / 2 - 1; }

std::span<const Count> low_latency_hidden_sizes() { return low_latency_sizes; }

std::optional<Count> low_latency_hidden_size(Count hidden_size) {
  const auto* next = std::ranges::lower_bound(low_latency_sizes, hidden_size);
  if (next == low_latency_sizes.end()) return std::nullopt;
  return *next;
}

std::vector<std::string> low_latency_refusals(const LowLatencyCall& call) {
  const LowLatencyShape& shape = call.shape;
  std::vector<std::string> refusals;
  const auto refuse_if = [&refusals](bool is_broken, const std::string& why) {
    if (is_broken) refusals.push_back(why);
  };
  const Count hidden = shape.hidden_size;
  refuse_if(std::ranges::count(low_latency_sizes, hidden) == 0,
            text("hidden ", hidden, " is not one of ", joined(low_latency_sizes)));
  refuse_if(hidden % scale_block != 0, text("hidden ", hidden, " is no multiple of 128"));
  refuse_if(call.is_fp8 && hidden % 512 != 0,
            text("hidden ", hidden, " is no multiple of 512, which fp8 needs"));
  refuse_if(hidden / scale_block > low_latency_scales_max,
            text(hidden / scale_block, " scales a row, more than ", low_latency_scales_max));
  refuse_if(shape.max_num_tokens * shape.num_ranks % 4 != 0,
            text("max_num_tokens ", shape.max_num_tokens, " times ", shape.num_ranks,
                 " ranks is no multiple of 4"));
  refuse_if(shape.num_experts % shape.num_ranks != 0,
            text(shape.num_experts, " experts do not divide by ", shape.num_ranks, " ranks"));
  refuse_if(call.top_k > low_latency_top_k_max,
            text("top_k ", call.top_k, " is above ", low_latency_top_k_max));
  refuse_if(call.queue_depth < 2 * (shape.max_num_tokens + 1),
            text("max_num_tokens ", shape.max_num_tokens, " is above ",
                 low_latency_tokens_max(call.queue_depth), ", the most at NVSHMEM_QP_DEPTH ",
                 call.queue_depth));
  return refusals;
}

std::span<const int> high_throughput_rank_counts() { return rank_counts; }

std::vector<std::string> high_throughput_refusals(const HighThroughputCall& call) {
  std::vector<std::string> refusals;
  const auto refuse_if = [&refusals](bool is_broken, const std::string& why) {
    if (is_broken) refusals.push_back(why);
  };
  const int ranks = call.num_ranks;
  const bool is_intranode_count = ranks == 2 || ranks == 4 || ranks == 8;
  refuse_if(!call.is_internode && !is_intranode_count,
            text(ranks, " ranks of one node: 2, 4 or 8 are possible"));
  refuse_if(ranks > 8 && ranks % 8 != 0, text(ranks, " ranks are no multiple of 8"));
  refuse_if(ranks > high_throughput_ranks_max,
            text(ranks, " ranks are more than ", high_throughput_ranks_max));
  const Count bytes = call.hidden_size * size_of(call.dtype);
  refuse_if(bytes % 16 != 0, text("a row of ", bytes, " bytes is no multiple of 16"));
  refuse_if(call.top_k > 128, text("top_k ", call.top_k, " is above 128"));
  return refusals;
}

Count high_throughput_hidden_size(Count hidden_size, DType dtype) {
  return up_to(hidden_size * size_of(dtype), high_throughput_row_unit) / size_of(dtype);
}

HighThroughputBuffer high_throughput_buffer(bool crosses_nodes, Count buffer_size_mb) {
  const Count bytes = buffer_size_mb * mebibyte;
  if (!crosses_nodes) return {.nvl_bytes = bytes};
  return {bytes, bytes, high_throughput_multiprocessors / 2};
}

std::optional<Count> one_sided_payload_bytes(PayloadFormat format, Count hidden_size, Count top_k) {
  const Count routing = 8 * top_k;  // i32 ids and f32 weights
  switch (format) {
    case PayloadFormat::bf16:
      return 2 * hidden_size + routing;
    case PayloadFormat::nvfp4:
      return hidden_size / 2 + hidden_size / 16 + routing;
    case PayloadFormat::mxfp8:
      return hidden_size + up_to(hidden_size, 32) / 32 + routing;
    case PayloadFormat::fp8_block128:
      if (hidden_size % scale_block != 0) return std::nullopt;
      return hidden_size + 4 * (hidden_size / scale_block) + routing;
    case PayloadFormat::fp8_per_tensor:
      break;
  }
  return std::nullopt;
}

PplxRow pplx_row(Count hidden_size, DType dtype, PplxScales scales, Count block_size) {
  PplxRow row{.row_bytes = up_to(hidden_size * size_of(dtype), 16)};
  if (scales == PplxScales::per_token) row.scale_bytes = up_to(4, 16);
  if (scales == PplxScales::block) {
    row.scale_bytes = up_to((hidden_size + block_size - 1) / block_size * 4, 16);
  }
  return row;
}

int pplx_num_dispatchers(int ep_size, int tp_size) { return ep_size / tp_size; }

}  // namespace moe
