// Global ids to the slots of a rank, and the spaces that ids say they are of.
// The look-up itself is kernels'.

#include "backends/expert_id_map.h"
#include "tests/catch.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;

TEST_CASE("expert id map: slots of this rank, -1 for strangers and masked choices") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto id_map = make_expert_id_map(*kernels, {-1, 1, -1, 0});
  const Buffer ids = rows_with(*memory, {2, 3, DType::i32}, {3, 0, 1, -1, 1, 2});
  const RoutingBuffers local = id_map->local_ids({.topk_ids = ids.tensor()});
  CHECK(local.space == IdSpace::local);
  CHECK(values_of(local.topk_ids.tensor()) == std::vector<double>{0, -1, 1, -1, 1, -1});
}

TEST_CASE("expert id map: ids that are local already, and one that no map has, are refused") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto id_map = make_expert_id_map(*kernels, {0, 1});
  const Buffer ids = rows_with(*memory, {1, 1, DType::i32}, {1});
  CHECK_THROWS_WITH(id_map->local_ids({.topk_ids = ids.tensor(), .space = IdSpace::local}),
                    Catch::Contains("local already"));
  const Buffer strange = rows_with(*memory, {1, 1, DType::i32}, {2});
  CHECK_THROWS_AS(id_map->local_ids({.topk_ids = strange.tensor()}), ContractError);
}
