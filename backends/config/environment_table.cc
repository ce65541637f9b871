// The rows, in the order of the page. Where it gives no life of a variable the row has the whole
// history.

#include "backends/config/environment_table.h"

#include <array>

namespace moe {
namespace {

using enum Era;

constexpr std::array rows = {
    EnvironmentVariable{"VLLM_ALL2ALL_BACKEND",
                        "",
                        "chooses the backend",
                        {v0_9, pre_33724},
                        "deprecated by #26732, removed by #33535"},
    EnvironmentVariable{"VLLM_MOE_DP_CHUNK_SIZE",
                        "256",
                        "capacity, and rows of a chunk",
                        {v0_9, post_36286},
                        "removed by #39107"},
    EnvironmentVariable{"VLLM_ENABLE_MOE_DP_CHUNK",
                        "1",
                        "calls the layer chunk by chunk",
                        {v0_9, post_36286},
                        "removed by #39107"},
    EnvironmentVariable{"VLLM_DEEPEP_BUFFER_SIZE_MB", "1024", "DeepEP's NVLink and RDMA buffers"},
    EnvironmentVariable{"VLLM_DEEPEP_HIGH_THROUGHPUT_FORCE_INTRA_NODE", "0",
                        "high throughput takes all ranks for those of one node"},
    EnvironmentVariable{"VLLM_DEEPEP_LOW_LATENCY_USE_MNNVL", "0",
                        "low latency over multi-node NVLink"},
    EnvironmentVariable{"VLLM_DEEPEPLL_NVFP4_DISPATCH", "0",
                        "low latency quantises to nvfp4 in its kernel"},
    EnvironmentVariable{
        "VLLM_DEEPEP_V2_ALLOW_HYBRID_MODE", "0", "DeepEP V2", {late_2026, late_2026}},
    EnvironmentVariable{"VLLM_DEEPEP_V2_PREFER_OVERLAP", "", "DeepEP V2", {late_2026, late_2026}},
    EnvironmentVariable{
        "VLLM_DEEPEP_V2_ALLOW_MULTIPLE_REDUCTION", "", "DeepEP V2", {late_2026, late_2026}},
    EnvironmentVariable{"VLLM_NIXL_EP_MAX_NUM_RANKS",
                        "32",
                        "ranks that NIXL's buffer is made for",
                        {post_33724, late_2026},
                        {},
                        true},
    EnvironmentVariable{"VLLM_DBO_COMM_SMS",
                        "20",
                        "multiprocessors that talk under micro-batches "
                        "(64 on ROCm)",
                        {pre_33724, late_2026}},
    EnvironmentVariable{"VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD",
                        "256",
                        "most rows for which shared experts run on a stream of their own",
                        {},
                        {},
                        true},
    EnvironmentVariable{"VLLM_DISABLE_SHARED_EXPERTS_STREAM", "0",
                        "shared experts run on the main stream"},
    EnvironmentVariable{"VLLM_RANDOMIZE_DP_DUMMY_INPUTS", "0",
                        "dummy batches have random ids, so that routing is spread"},
    EnvironmentVariable{"VLLM_USE_NCCL_SYMM_MEM",
                        "0",
                        "NCCL's symmetric windows",
                        {late_2026, late_2026},
                        "for AG/RS since #46703"},
    EnvironmentVariable{"VLLM_DP_RANK", "0", "offline data parallelism: this rank"},
    EnvironmentVariable{"VLLM_DP_RANK_LOCAL", "", "offline data parallelism: its number here"},
    EnvironmentVariable{"VLLM_DP_SIZE", "1", "offline data parallelism: all ranks"},
    EnvironmentVariable{"VLLM_DP_MASTER_IP", "127.0.0.1", "offline data parallelism"},
    EnvironmentVariable{"VLLM_DP_MASTER_PORT", "0", "offline data parallelism"},
    EnvironmentVariable{"VLLM_DIST_IDENT", "", "names the group of CPU workers in shared memory"},
    EnvironmentVariable{"NVSHMEM_QP_DEPTH", "1024",
                        "the library's; low latency takes half less 1 "
                        "tokens"},
};

}  // namespace

std::span<const EnvironmentVariable> all_environment_variables() { return rows; }

}  // namespace moe
