// Sizes and limits of the libraries: the page's goldens, and every assertion by its number.
// Numbers are written out, none is computed by what is tested.

#include "backends/config/buffer_limits.h"

#include <algorithm>
#include <set>

#include "backends/config/environment_table.h"
#include "tests/catch.h"

using namespace moe;

TEST_CASE("I23: low latency: RDMA bytes") {
  CHECK(low_latency_rdma_bytes({256, 7168, 8, 256}) == 3'816'818'816);
  CHECK(low_latency_rdma_bytes({128, 2048, 8, 64}) == 136'315'520);
  CHECK(low_latency_rdma_bytes({256, 2560, 2, 32}) == 170'393'984);
  CHECK(low_latency_rdma_bytes({256, 7168, 64, 256}) == 3'816'818'816);
}

TEST_CASE("I23: low latency: at most 511 tokens at the default queue depth") {
  CHECK(low_latency_tokens_max() == 511);
  CHECK(low_latency_tokens_max(2048) == 1023);
  const auto refusals = [](Count tokens, Count depth) {
    return low_latency_refusals({.shape = {.max_num_tokens = tokens}, .queue_depth = depth});
  };
  CHECK(refusals(511, 1024).empty());
  CHECK(refusals(512, 1024) ==
        std::vector<std::string>{
            "max_num_tokens 512 is above 511, the most at NVSHMEM_QP_DEPTH 1024"});
  CHECK(refusals(512, 1026).empty());
}

TEST_CASE("low latency: hidden sizes") {
  const auto sizes = low_latency_hidden_sizes();
  CHECK(std::vector<Count>(sizes.begin(), sizes.end()) ==
        std::vector<Count>{2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192});
  CHECK(low_latency_hidden_size(2048) == 2048);
  CHECK(low_latency_hidden_size(2880) == 3072);
  CHECK(low_latency_hidden_size(1) == 2048);
  CHECK(low_latency_hidden_size(8192) == 8192);
  CHECK(!low_latency_hidden_size(8193));
}

TEST_CASE("low latency: what its kernels assert") {
  const auto broken = [](LowLatencyCall call) { return low_latency_refusals(call).size(); };
  CHECK(broken({}) == 0);
  CHECK(broken({.shape = {.hidden_size = 2880}}) == 2);  // list, 128
  CHECK(broken({.shape = {.hidden_size = 2560}, .is_fp8 = true}) == 0);
  CHECK(broken({.shape = {.hidden_size = 2176}, .is_fp8 = true}) == 2);    // list, 512
  CHECK(broken({.shape = {.hidden_size = 8320}}) == 2);                    // list, scales
  CHECK(broken({.shape = {.max_num_tokens = 255, .num_ranks = 2}}) == 1);  // M * R % 4
  CHECK(broken({.shape = {.num_experts = 255}}) == 1);
  CHECK(broken({.top_k = 11}) == 0);
  CHECK(broken({.top_k = 12}) == 1);
}

TEST_CASE("high throughput: ranks, rows and buffers") {
  const auto counts = high_throughput_rank_counts();
  CHECK(std::vector<int>(counts.begin(), counts.end()) ==
        std::vector<int>{2, 4, 8, 16, 24, 32, 64, 128, 144, 160});
  CHECK(high_throughput_hidden_size(2880, DType::bf16) == 3072);
  CHECK(high_throughput_hidden_size(7168, DType::bf16) == 7168);
  const auto broken = [](HighThroughputCall call) { return high_throughput_refusals(call).size(); };
  CHECK(broken({.num_ranks = 8}) == 0);
  CHECK(broken({.num_ranks = 3}) == 1);
  CHECK(broken({.num_ranks = 16, .is_internode = true}) == 0);
  CHECK(broken({.num_ranks = 12, .is_internode = true}) == 1);
  CHECK(broken({.num_ranks = 168, .is_internode = true}) == 1);
  CHECK(broken({.hidden_size = 4}) == 1);
  CHECK(broken({.top_k = 129}) == 1);
  CHECK(high_throughput_buffer(false) == HighThroughputBuffer{1'073'741'824, 0, 1});
  CHECK(high_throughput_buffer(true) == HighThroughputBuffer{1'073'741'824, 1'073'741'824, 10});
}

TEST_CASE("FlashInfer one-sided: bytes of a token's payload") {
  using enum PayloadFormat;
  CHECK(one_sided_payload_bytes(bf16, 7168, 8) == 14336 + 64);
  CHECK(one_sided_payload_bytes(nvfp4, 7168, 8) == 3584 + 448 + 64);
  CHECK(one_sided_payload_bytes(mxfp8, 7168, 8) == 7168 + 224 + 64);
  CHECK(one_sided_payload_bytes(mxfp8, 2890, 2) == 2890 + 91 + 16);
  CHECK(one_sided_payload_bytes(fp8_block128, 7168, 8) == 7168 + 224 + 64);
  CHECK(!one_sided_payload_bytes(fp8_block128, 2880, 8));
  CHECK(!one_sided_payload_bytes(fp8_per_tensor, 7168, 8));
}

TEST_CASE("pplx: rows and scales in whole 16 bytes") {
  using enum PplxScales;
  CHECK(pplx_row(2048, DType::bf16, none) == PplxRow{4096, 0});
  CHECK(pplx_row(1001, DType::bf16, none) == PplxRow{2016, 0});
  CHECK(pplx_row(2048, DType::f8e4m3, per_token) == PplxRow{2048, 16});
  CHECK(pplx_row(7168, DType::f8e4m3, block) == PplxRow{7168, 224});
  CHECK(pplx_row(2880, DType::f8e4m3, block) == PplxRow{2880, 96});
  CHECK(pplx_num_dispatchers(8, 2) == 4);
}

TEST_CASE("environment: the variables, their defaults and their lives") {
  std::set<std::string_view> names;
  for (const EnvironmentVariable& row : all_environment_variables()) names.insert(row.name);
  CHECK(names.size() == all_environment_variables().size());
  const auto row = [](std::string_view name) {
    return *std::ranges::find(all_environment_variables(), name, &EnvironmentVariable::name);
  };
  CHECK(row("VLLM_MOE_DP_CHUNK_SIZE").default_value == "256");
  CHECK(row("VLLM_MOE_DP_CHUNK_SIZE").eras.covers(profile_named("post-36286")));
  CHECK(!row("VLLM_MOE_DP_CHUNK_SIZE").eras.covers(profile_named("post-39107")));
  CHECK(!row("VLLM_ALL2ALL_BACKEND").eras.covers(profile_named("post-33724")));
  CHECK(row("VLLM_DEEPEP_BUFFER_SIZE_MB").default_value == "1024");
  CHECK(row("VLLM_NIXL_EP_MAX_NUM_RANKS").is_unverified);
  CHECK(row("NVSHMEM_QP_DEPTH").default_value == "1024");
}
