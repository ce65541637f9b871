// The broadcast manager alone: what each form delivers and sums on DP 2 x TP 2, and extras refused.
// Worlds around it are in tests/property/naive_test.cc.

#include "backends/all2all_manager.h"
#include "backends/backend.h"
#include "backends/placement/expert_placement.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"
#include "tests/unit/kernels/host_rows.h"

namespace moe::legacy {
extern const Backend naive;
}

using namespace moe;
using namespace moe::test;

namespace {

// The rows that a rank of DP 2 x TP 2 receives, and its sum of 1 from every rank's every row.
std::vector<double> moved(Communicator& world, NaiveForm form) {
  const int dp = world.rank() / 2;
  const int tp = world.rank() % 2;
  const auto tp_group = world.split(dp, tp);
  const auto dp_group = world.split(tp, dp);
  const auto pcp_group = world.split(world.rank(), 0);
  const ExpertMap experts = determine_expert_map(4, 4, Placement::linear);
  const ParallelGroups groups{*tp_group, *pcp_group, *dp_group, world};
  const PrepareFinalizeConfig config{
      groups,          make_parallel_config({.sizes = {.dp = 2, .tp = 2}}, world.rank()),
      world.memory(),  experts,
      Provenance::off, form};
  const auto manager = legacy::naive.make_manager(config);
  const std::vector<Count> tokens = {1, 2};
  const Count own = tokens[static_cast<std::size_t>(dp)];
  std::vector<double> values(static_cast<std::size_t>(own), 10.0 * (dp + 1));
  const Buffer hidden = rows_with(world.memory(), {own, 1, DType::f32}, values);
  const Dispatched got =
      manager->dispatch_router_logits(hidden.tensor(), hidden.tensor(), {}, tokens);
  std::vector<double> all = values_of(got.hidden_states);
  const Buffer ones = rows_with(world.memory(), {3, 1, DType::f32}, {1, 1, 1});
  const Buffer sum(world.memory(), {own, 1, DType::f32});
  manager->combine(ones.tensor(), tokens, sum.tensor());
  all.push_back(values_of(sum.tensor()).back());
  return all;
}

std::vector<std::vector<double>> over_ranks(NaiveForm form) {
  std::vector<std::vector<double>> all;
  const auto outcomes =
      run_world({Wire::local, 4}, [form](Communicator& world) { return moved(world, form); });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    all.push_back(*outcome.value);
  }
  return all;
}

}  // namespace

TEST_CASE("naive manager: the DP form gathers and leaves a partial sum on every TP rank") {
  const std::vector<double> each = {10, 20, 20, 2};
  CHECK(over_ranks(NaiveForm::dp_group) == std::vector<std::vector<double>>(4, each));
}

TEST_CASE("naive manager: the EP form gathers and hands the whole sum on once") {
  const std::vector<double> first = {10, 20, 20, 4};
  const std::vector<double> second = {10, 20, 20, 0};
  CHECK(over_ranks(NaiveForm::ep_group) ==
        std::vector<std::vector<double>>{first, second, first, second});
}

TEST_CASE("naive manager: as shipped the second slice is nobody's, and every TP rank sums all") {
  const std::vector<double> each = {10, 0, 0, 4};
  CHECK(over_ranks(NaiveForm::ep_group_as_shipped) == std::vector<std::vector<double>>(4, each));
}

TEST_CASE("naive manager: extras are refused with the reason") {
  const auto outcomes = run_world({Wire::local, 1}, [](Communicator& world) {
    const ExpertMap experts = determine_expert_map(4, 1, Placement::linear);
    const ParallelGroups groups{world, world, world, world};
    const PrepareFinalizeConfig config{groups, {}, world.memory(), experts};
    const Buffer rows = rows_with(world.memory(), {1, 1, DType::f32}, {1});
    const std::vector<Extra> extras = {{rows.tensor()}};
    legacy::naive.make_manager(config)->dispatch_router_logits(rows.tensor(), rows.tensor(), extras,
                                                               std::vector<Count>{1});
    return true;
  });
  CHECK(outcomes[0].kind == "ContractError");
  CHECK(contains(outcomes[0].error, "takes no extras"));
}
