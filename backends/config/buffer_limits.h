// Sizes and limits of the libraries under the backends, as numbers
// (distribution-layer.md, 3.4, 9.3, 9.4, 9.7, 9.8): what a buffer takes, what a kernel asserts.
// Nothing here allocates.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/parallel/rank_grid.h"
#include "kernels/base/dtype.h"

namespace moe {

// DeepEP low latency, and NIXL EP after it.
struct LowLatencyShape {
  Count max_num_tokens = 256;
  Count hidden_size = 7168;
  Count num_ranks = 8;
  Count num_experts = 256;
};
// Bytes of the symmetric buffer, both halves. They do not depend on the number of ranks.
Count low_latency_rdma_bytes(const LowLatencyShape& shape);
// The most tokens of a rank at an NVSHMEM queue depth: 511 at its default of 1024.
Count low_latency_tokens_max(Count queue_depth = 1024);
std::span<const Count> low_latency_hidden_sizes();
// The hidden size that a layer pads to; none: larger than any.
std::optional<Count> low_latency_hidden_size(Count hidden_size);

struct LowLatencyCall {
  LowLatencyShape shape = {};
  Count top_k = 8;
  bool is_fp8 = false;
  Count queue_depth = 1024;
};
// What the kernels would assert, each with its number; empty: nothing.
std::vector<std::string> low_latency_refusals(const LowLatencyCall& call);

// DeepEP high throughput.
std::span<const int> high_throughput_rank_counts();  // that vLLM passes a configuration for
struct HighThroughputCall {
  int num_ranks = 8;
  bool is_internode = false;
  Count hidden_size = 7168;
  DType dtype = DType::bf16;
  Count top_k = 8;
};
std::vector<std::string> high_throughput_refusals(const HighThroughputCall& call);
// A layer's hidden size, its row rounded up to whole 512 bytes.
Count high_throughput_hidden_size(Count hidden_size, DType dtype);

struct HighThroughputBuffer {
  Count nvl_bytes = 0;
  Count rdma_bytes = 0;
  int queue_pairs = 1;

  bool operator==(const HighThroughputBuffer&) const = default;
};
// crosses_nodes: between nodes, and VLLM_DEEPEP_HIGH_THROUGHPUT_FORCE_INTRA_NODE is not set.
HighThroughputBuffer high_throughput_buffer(bool crosses_nodes, Count buffer_size_mb = 1024);

// FlashInfer one-sided: bytes of a token's payload; none: the format does not travel.
enum class PayloadFormat { bf16, nvfp4, mxfp8, fp8_block128, fp8_per_tensor };
std::optional<Count> one_sided_payload_bytes(PayloadFormat format, Count hidden_size, Count top_k);

// pplx: a row's bytes and its scales', both in whole 16 bytes.
enum class PplxScales { none, per_token, block };
struct PplxRow {
  Count row_bytes = 0;
  Count scale_bytes = 0;

  bool operator==(const PplxRow&) const = default;
};
PplxRow pplx_row(Count hidden_size, DType dtype, PplxScales scales, Count block_size = 128);
// Ranks that send: one for each TP group.
int pplx_num_dispatchers(int ep_size, int tp_size);

}  // namespace moe
