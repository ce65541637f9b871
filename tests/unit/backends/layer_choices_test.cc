// The PrepareFinalize factory's outcome, the order of shared experts and the last reduction, row by
// row of the page's tables.

#include "backends/config/layer_choices.h"

#include "tests/catch.h"

using namespace moe;

namespace {

const Profile& now = profile_named("post-40412");

DeploymentConfig deployment(std::string_view backend, ParallelSizes sizes = {.dp = 2, .tp = 2},
                            bool is_ep = true) {
  return {.all2all_backend = std::string(backend), .sizes = sizes, .enable_expert_parallel = is_ep};
}

}  // namespace

TEST_CASE("factory: without all2all kernels") {
  const auto without_ep = deployment("deepep_low_latency", {.dp = 2}, false);
  CHECK(prepare_finalize_choice(now, without_ep, {}) ==
        PrepareFinalizeChoice{.kind = PrepareFinalizeKind::of_transport,
                              .transport = Transport::allgather_reducescatter,
                              .num_dispatchers = 2});
  CHECK(prepare_finalize_choice(now, without_ep, {.allows_new_interface = false}).kind ==
        PrepareFinalizeKind::nothing);
  const auto tp_alone = deployment("allgather_reducescatter", {.dp = 1, .tp = 2});
  CHECK(prepare_finalize_choice(now, tp_alone, {}).kind == PrepareFinalizeKind::no_ep);
}

TEST_CASE("factory: who sends and how much fits") {
  const FactoryRequest request{
      .is_round_robin = true, .max_num_tokens = 300, .scheduler_max_num_batched_tokens = 8192};
  const auto choice = [&request](std::string_view backend, std::string_view profile) {
    return prepare_finalize_choice(profile_named(profile), deployment(backend), request);
  };
  const PrepareFinalizeChoice low = choice("deepep_low_latency", "post-40412");
  CHECK(low.is_batched);
  CHECK(low.with_routing_tables);
  CHECK(low.num_dispatchers == 4);
  CHECK(low.max_tokens_per_rank == 300);
  const PrepareFinalizeChoice high = choice("deepep_high_throughput", "post-40412");
  CHECK(!high.is_batched);
  CHECK(!high.with_routing_tables);
  CHECK(high.num_dispatchers == 4);
  CHECK(!high.max_tokens_per_rank);
  CHECK(choice("flashinfer_nvlink_one_sided", "post-40412").max_tokens_per_rank == 8192);
  CHECK(!choice("flashinfer_nvlink_two_sided", "post-40412").max_tokens_per_rank);
  CHECK(choice("mori", "post-40412").max_tokens_per_rank == 300);
  CHECK(choice("pplx", "pre-33724").num_dispatchers == 2);
  CHECK(choice("deepep_v2", "late-2026").max_tokens_per_rank == 300);
  const auto sp = prepare_finalize_choice(profile_named("late-2026"), deployment("deepep_v2"),
                                          {.is_sequence_parallel = true, .max_num_tokens = 301});
  CHECK(sp.max_tokens_per_rank == 151);
}

TEST_CASE("shared experts: the order of their work") {
  const auto order = [](std::string_view backend, SharedExpertQuestion question = {},
                        bool is_eplb = false, Platform platform = Platform::cuda) {
    DeploymentConfig config = deployment(backend);
    config.enable_eplb = is_eplb;
    config.platform = platform;
    return shared_expert_order(config, question);
  };
  using enum SharedExpertOrder;
  CHECK(order("deepep_low_latency", {}, true) == no_overlap);
  CHECK(order("allgather_reducescatter", {}, true) == multi_stream);
  CHECK(order("flashinfer_nvlink_one_sided", {}, true) == multi_stream);
  CHECK(order("flashinfer_nvlink_two_sided") == no_overlap);
  CHECK(order("allgather_reducescatter", {.is_shard_sequence_parallel = true}) == no_overlap);
  for (const char* backend :
       {"deepep_high_throughput", "deepep_low_latency", "nixl_ep", "deepep_v2"}) {
    CHECK(order(backend) == internal_overlapped);
  }
  CHECK(order("mori") == multi_stream);
  CHECK(order("allgather_reducescatter", {.rows = 256}) == multi_stream);
  CHECK(order("allgather_reducescatter", {.rows = 257}) == serial);
  CHECK(order("allgather_reducescatter", {.stream_is_disabled = true}) == serial);
  CHECK(order("allgather_reducescatter", {}, false, Platform::cpu) == serial);
  CHECK(order("allgather_reducescatter", {}, false, Platform::rocm) == multi_stream);
}

TEST_CASE("the last reduction: its four states") {
  using enum LastReduction;
  CHECK(last_reduction({.output_is_reduced = true, .expert_ranks = 4}) == shared_alone);
  CHECK(last_reduction(
            {.output_is_reduced = true, .expert_ranks = 4, .shared_is_complete = true}) == none);
  CHECK(last_reduction({.expert_ranks = 4}) == one_over_both);
  CHECK(last_reduction({.expert_ranks = 1}) == none);
  CHECK(last_reduction({.is_sequence_parallel = true, .expert_ranks = 4}) == none);
  CHECK(last_reduction({.expert_ranks = 4, .reduce_results = false}) == none);
}
