// Where a rank's capacity comes from, profile by profile, and the scheduler's tables with the
// page's numbers.

#include "backends/config/capacity_rules.h"

#include "kernels/base/check.h"
#include "tests/catch.h"

using namespace moe;

namespace {

DeploymentConfig deployment(std::string_view backend) {
  return {
      .all2all_backend = std::string(backend), .sizes = {.dp = 2}, .enable_expert_parallel = true};
}

}  // namespace

TEST_CASE("capacity: the environment's 256 until #39107, then the scheduler's number") {
  for (const Profile& profile : all_profiles()) {
    const bool is_chunked = profile.name == "v0.9" || profile.name == "pre-33724" ||
                            profile.name == "post-33724" || profile.name == "post-36294" ||
                            profile.name == "post-36286";
    CHECK(max_num_tokens_of(profile, {.scheduler_max_num_batched_tokens = 8192}) ==
          (is_chunked ? 256 : 8192));
  }
  CHECK(max_num_tokens_of(profile_named("v0.9"), {.chunk_size_variable = 64}) == 64);
  CHECK(max_num_tokens_of(profile_named("post-39107"), {}) == 256);
}

TEST_CASE("capacity: 0 is refused, as vLLM asserts (T5)") {
  CHECK_THROWS_WITH(
      max_num_tokens_of(profile_named("post-39107"), {.scheduler_max_num_batched_tokens = 0}),
      Catch::Contains("max_num_tokens 0 under profile post-39107") &&
          Catch::Contains("must be above 0"));
}

TEST_CASE("scheduler: the table of defaults") {
  using Defaults = SchedulerDefaults;
  const auto both = [](Hardware hardware, int world_size = 1) {
    return std::pair(scheduler_defaults(hardware, Usage::llm_class, world_size),
                     scheduler_defaults(hardware, Usage::api_server, world_size));
  };
  CHECK(both(Hardware::gpu_large) == std::pair(Defaults{16384, 1024}, Defaults{8192, 1024}));
  CHECK(both(Hardware::gpu_other) == std::pair(Defaults{8192, 256}, Defaults{2048, 256}));
  CHECK(both(Hardware::tpu_v6e) == std::pair(Defaults{2048, 128}, Defaults{1024, 128}));
  CHECK(both(Hardware::tpu_v5e) == std::pair(Defaults{1024, 128}, Defaults{512, 128}));
  CHECK(both(Hardware::tpu_v5p) == std::pair(Defaults{512, 128}, Defaults{256, 128}));
  CHECK(both(Hardware::cpu) == std::pair(Defaults{4096, 256}, Defaults{2048, 128}));
  CHECK(both(Hardware::cpu, 4) == std::pair(Defaults{16384, 1024}, Defaults{8192, 512}));
}

TEST_CASE("scheduler: batched backends get 256 since #39107, in every hardware (T6)") {
  const Profile& before = profile_named("post-36286");
  const Profile& after = profile_named("post-39107");
  for (const char* backend : {"deepep_low_latency", "nixl_ep"}) {
    CHECK(scheduler_of(before, deployment(backend), {}).max_num_batched_tokens == 8192);
    CHECK(scheduler_of(after, deployment(backend), {}) == SchedulerDefaults{256, 256});
  }
  CHECK(scheduler_of(after, deployment("allgather_reducescatter"), {}) ==
        SchedulerDefaults{8192, 1024});
  CHECK(scheduler_of(after, deployment("nixl_ep"), {.max_num_batched_tokens = 600})
            .max_num_batched_tokens == 600);
}

TEST_CASE("scheduler: corrections in their order") {
  const Profile& now = profile_named("post-40412");
  const auto tokens = [&now](std::string_view backend, SchedulerRequest request) {
    return scheduler_of(now, deployment(backend), request).max_num_batched_tokens;
  };
  CHECK(tokens("allgather_reducescatter", {.prefers_throughput = true}) == 16384);
  CHECK(tokens("nixl_ep", {.prefers_throughput = true}) == 512);
  CHECK(tokens("allgather_reducescatter", {.max_model_len = 40000, .chunked_prefill = false}) ==
        40000);
  CHECK(tokens("allgather_reducescatter", {.max_num_seqs = 4, .max_model_len = 100}) == 400);
}
