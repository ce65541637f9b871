// Derived predicates over all profiles, and the table of FusedMoEParallelConfig.make, with the
// page's numbers.

#include "backends/config/predicates.h"

#include "backends/parallel/parallel_config.h"
#include "kernels/base/text.h"
#include "tests/catch.h"

using namespace moe;

namespace {

DeploymentConfig deployment(std::string_view backend, ParallelSizes sizes = {.dp = 2, .tp = 2},
                            bool is_ep = true) {
  return {.all2all_backend = std::string(backend), .sizes = sizes, .enable_expert_parallel = is_ep};
}

// One letter for each profile: y where a predicate holds, n where not, - where the name is unknown.
std::string over_profiles(std::string_view backend,
                          bool (*holds)(const Profile&, const DeploymentConfig&)) {
  std::string letters;
  for (const Profile& profile : all_profiles()) {
    const auto names = backends_in(profile);
    const bool is_there = std::ranges::count(names, backend) > 0;
    const bool yes = is_there && holds(profile, deployment(backend));
    letters += is_there ? (yes ? 'y' : 'n') : '-';
  }
  return letters;
}

bool is_sp(const Profile& profile, const DeploymentConfig& config) {
  return use_sequence_parallel_moe(profile, config);
}

}  // namespace

TEST_CASE("use_sequence_parallel_moe: the set over time") {
  CHECK(over_profiles("allgather_reducescatter", is_sp) == "-yyyyyyyy");
  CHECK(over_profiles("naive", is_sp) == "nyy------");
  CHECK(over_profiles("pplx", is_sp) == "nn-------");
  CHECK(over_profiles("deepep_high_throughput", is_sp) == "nyyyyyyyy");
  CHECK(over_profiles("deepep_low_latency", is_sp) == "nyyyyyyyy");
  CHECK(over_profiles("nixl_ep", is_sp) == "--yyyyyyy");
  CHECK(over_profiles("mori", is_sp) == "-yyyyyyy-");
  CHECK(over_profiles("mori_high_throughput", is_sp) == "--------y");
  CHECK(over_profiles("mori_low_latency", is_sp) == "--------y");
  CHECK(over_profiles("flashinfer_all2allv", is_sp) == "-nn------");
  CHECK(over_profiles("flashinfer_nvlink_two_sided", is_sp) == "---nnnnnn");
  CHECK(over_profiles("flashinfer_nvlink_one_sided", is_sp) == "---nnnnny");
}

TEST_CASE("use_sequence_parallel_moe: EP, TP and DP, and the two other readings") {
  const Profile& now = profile_named("post-40412");
  const auto with = [](ParallelSizes sizes, bool is_ep = true) {
    return deployment("allgather_reducescatter", sizes, is_ep);
  };
  CHECK(use_sequence_parallel_moe(now, with({.dp = 2, .tp = 2})));
  CHECK(!use_sequence_parallel_moe(now, with({.dp = 2, .tp = 2}, false)));
  CHECK(!use_sequence_parallel_moe(now, with({.dp = 2, .tp = 1})));
  CHECK(!use_sequence_parallel_moe(now, with({.dp = 1, .tp = 2})));
  const auto churn = SequenceParallelRule::without_dp;
  CHECK(use_sequence_parallel_moe(now, with({.dp = 1, .tp = 2}), churn));
  CHECK(!use_sequence_parallel_moe(now, with({.dp = 1, .tp = 2}, false), churn));
  const auto excerpt = SequenceParallelRule::excerpt_36294;
  const ParallelSizes one = {};
  CHECK(use_sequence_parallel_moe(now, deployment("flashinfer_nvlink_two_sided", one), excerpt));
  CHECK(use_sequence_parallel_moe(now, deployment("flashinfer_nvlink_one_sided", one), excerpt));
  CHECK(!use_sequence_parallel_moe(profile_named("post-36294"), deployment("naive"), excerpt));
}

TEST_CASE("use_batched_dp_moe: low latency and NIXL since #39107, with EP and DP") {
  CHECK(over_profiles("deepep_low_latency", use_batched_dp_moe) == "nnnnnyyyy");
  CHECK(over_profiles("nixl_ep", use_batched_dp_moe) == "--nnnyyyy");
  CHECK(over_profiles("allgather_reducescatter", use_batched_dp_moe) == "-nnnnnnnn");
  CHECK(over_profiles("deepep_v2", use_batched_dp_moe) == "--------n");
  const Profile& now = profile_named("post-40412");
  CHECK(!use_batched_dp_moe(now, deployment("nixl_ep", {.dp = 1, .tp = 2})));
  CHECK(!use_batched_dp_moe(now, deployment("nixl_ep", {.dp = 2}, false)));
}

TEST_CASE("use_all2all: DP at first, later sequence parallelism and PCP as well") {
  const Profile& late = profile_named("late-2026");
  const Profile& before = profile_named("post-40412");
  const auto with = [](ParallelSizes sizes, bool is_ep = true) {
    return deployment("allgather_reducescatter", sizes, is_ep);
  };
  CHECK(use_all2all(before, with({.dp = 2})));
  CHECK(use_all2all(late, with({.dp = 2}, false)));
  CHECK(!use_all2all(before, with({.pcp = 2})));
  CHECK(use_all2all(late, with({.pcp = 2})));
  CHECK(!use_all2all(late, with({.pcp = 2}, false)));
  CHECK(!use_all2all(late, with({.tp = 2})));
}

TEST_CASE("the EP group's name: once any name with 'ep' in it (T13)") {
  const Profile& old = profile_named("pre-33724");
  const Profile& late = profile_named("late-2026");
  CHECK(is_ep_group_name(old, "ep:0"));
  CHECK(is_ep_group_name(old, "deep:3"));
  CHECK(!is_ep_group_name(old, "tp:0"));
  CHECK(is_ep_group_name(late, "ep:12"));
  CHECK(!is_ep_group_name(late, "deep:3"));
  CHECK(!is_ep_group_name(late, "eplb:0"));
}

TEST_CASE("kernel properties: which kernels, when, and under which name") {
  const Profile& old = profile_named("post-33724");
  const Profile& now = profile_named("post-40412");
  CHECK(kernel_choice(old, deployment("naive"), false).use_ag_rs_all2all_kernels);
  CHECK(kernel_choice(old, deployment("allgather_reducescatter"), false).use_ag_rs_all2all_kernels);
  CHECK(kernel_choice(now, deployment("allgather_reducescatter"), false).use_ag_rs_all2all_kernels);
  CHECK(!kernel_choice(now, deployment("nixl_ep"), false).use_ag_rs_all2all_kernels);
  CHECK(ag_rs_property_name(old) == "use_naive_all2all_kernels");
  CHECK(ag_rs_property_name(profile_named("post-36294")) == "use_ag_rs_all2all_kernels");
  CHECK(backend_without_parallelism(old) == "naive");
  CHECK(backend_without_parallelism(now) == "allgather_reducescatter");
  for (const BackendTraits& traits : all_backend_traits()) {
    const KernelChoice choice = kernel_choice(now, deployment(traits.name), false);
    CHECK(choice.use_all2all_kernels);
    CHECK(choice.transport == traits.transport);
  }
  CHECK(kernel_choice(now, deployment("mori"), false).transport ==
        kernel_choice(profile_named("late-2026"), deployment("mori_low_latency"), false).transport);
}

TEST_CASE("kernel properties: use_all2all_kernels, old and new") {
  const Profile& old = profile_named("post-40412");
  const Profile& late = profile_named("late-2026");
  const auto uses = [](const Profile& profile, ParallelSizes sizes, bool is_ep, bool is_sp) {
    return kernel_choice(profile, deployment("allgather_reducescatter", sizes, is_ep), is_sp)
        .use_all2all_kernels;
  };
  CHECK(uses(old, {.dp = 2}, true, false));
  CHECK(!uses(old, {.dp = 2}, false, false));
  CHECK(!uses(old, {.tp = 2}, true, true));
  CHECK(uses(late, {.tp = 2}, true, true));
  CHECK(!uses(late, {.tp = 2}, true, false));
  CHECK(!uses(old, {.pcp = 2}, true, false));
  CHECK(uses(late, {.pcp = 2}, true, false));
  CHECK(!uses(late, {.pcp = 2}, false, false));
  CHECK(!uses(late, {}, true, false));
}

TEST_CASE("kernel properties: the batched format and routing tables are two questions") {
  const auto batched = [](const Profile& profile, const DeploymentConfig& config) {
    return kernel_choice(profile, config, false).use_batched_activation_format;
  };
  const auto tables = [](const Profile& profile, const DeploymentConfig& config) {
    return kernel_choice(profile, config, false).needs_round_robin_routing_tables;
  };
  CHECK(over_profiles("pplx", batched) == "yy-------");
  CHECK(over_profiles("deepep_low_latency", batched) == "yyyyyyyyy");
  CHECK(over_profiles("nixl_ep", batched) == "--nnnnnyy");
  CHECK(over_profiles("deepep_high_throughput", batched) == "nnnnnnnnn");
  CHECK(over_profiles("pplx", tables) == "nn-------");
  CHECK(over_profiles("deepep_low_latency", tables) == "yyyyyyyyy");
  CHECK(over_profiles("nixl_ep", tables) == "--yyyyyyy");
}

TEST_CASE("FusedMoEParallelConfig.make: the page's table") {
  // tp size, tp rank, ep size, ep rank of each rank of the world
  const auto made = [](int tp, int dp, bool is_ep) {
    std::vector<std::string> all;
    for (int rank = 0; rank < tp * dp; ++rank) {
      const auto config = make_parallel_config({{.dp = dp, .tp = tp}, is_ep, false}, rank);
      all.push_back(text(config.tp_size, "/", config.tp_rank, " ", config.ep_size, "/",
                         config.ep_rank, config.use_ep ? " ep" : ""));
    }
    return joined(all);
  };
  CHECK(made(1, 1, true) == "1/0 1/0");
  CHECK(made(2, 1, false) == "2/0 1/0, 2/1 1/0");
  CHECK(made(1, 2, false) == "2/0 1/0, 2/1 1/0");
  CHECK(made(2, 2, false) == "4/0 1/0, 4/1 1/0, 4/2 1/0, 4/3 1/0");
  CHECK(made(2, 1, true) == "1/0 2/0 ep, 1/0 2/1 ep");
  CHECK(made(1, 2, true) == "1/0 2/0 ep, 1/0 2/1 ep");
  CHECK(made(2, 2, true) == "1/0 4/0 ep, 1/0 4/1 ep, 1/0 4/2 ep, 1/0 4/3 ep");
  const auto pcp = make_parallel_config({{.pcp = 2, .tp = 2}, true, true}, 3);
  CHECK(pcp.ep_rank == 3);
  CHECK(pcp.sp_size == 2);
}

TEST_CASE("traits: one row a name, in the profile's order") {
  std::vector<std::string_view> names;
  for (const BackendTraits& traits : all_backend_traits()) names.push_back(traits.name);
  CHECK(names == all_backend_names());
  CHECK(default_backend_of(profile_named("v0.9")) == "naive");
  CHECK(default_backend_of(profile_named("pre-33724")) == "allgather_reducescatter");
}
