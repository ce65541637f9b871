// Operators that place, move, weigh and add rows: byte for byte what the host's do, on made-up
// worlds with masks, foreign experts, empty experts and widths that divide by nothing.

#include "tests/device/both_sides.h"

using namespace moe;

namespace {

constexpr int seeds = 40;

// A small world of choices.
struct World {
  int num_experts;
  int num_local;
  int top_k;
  Count rows;
  Count columns;
  DType dtype;
  Twin ids;  // global, some masked
  Twin map;  // slots on this rank, -1 elsewhere
};

World world_of(BothSides& both, int seed) {
  World world{};
  world.num_experts = 1 + static_cast<int>(mix(seed, 1) % 40);
  world.top_k = 1 + static_cast<int>(mix(seed, 2) % 5);
  world.rows = static_cast<Count>(mix(seed, 3) % (seed % 10 == 0 ? 3000 : 70));
  world.columns = 1 + static_cast<Count>(mix(seed, 4) % 90);
  world.dtype = row_types[mix(seed, 5) % 3];
  world.ids =
      both.integers({world.rows, world.top_k, DType::i32}, {-1, world.num_experts - 1}, seed);
  std::vector<double> slots;
  for (int expert = 0; expert < world.num_experts; ++expert) {
    slots.push_back(mix(seed, 6, expert) % 3 == 0 ? -1 : world.num_local++);
  }
  world.map = both.twin({world.num_experts, 1, DType::i32}, slots);
  return world;
}

// For every seed on every device.
void in_worlds(const std::function<void(BothSides&, const World&, int)>& test) {
  on_every_device([&](BothSides& both) {
    for (int seed = 1; seed <= seeds; ++seed) {
      INFO("seed " << seed);
      test(both, world_of(both, seed), seed);
    }
  });
}

struct Plans {
  RowPlanBuffers host;
  RowPlanBuffers device;
};

Plans plans_of(BothSides& both, const World& world) {
  return {both.host().plan_rows(world.ids.host.tensor(), world.map.host.tensor(), world.num_local),
          both.device().plan_rows(world.ids.device.tensor(), world.map.device.tensor(),
                                  world.num_local)};
}

void check_same(BothSides& both, const AlignedBlocksBuffers& host,
                const AlignedBlocksBuffers& device) {
  CHECK(both.difference(host.sorted_token_ids, device.sorted_token_ids) == "");
  CHECK(both.difference(host.expert_ids, device.expert_ids) == "");
  CHECK(both.difference(host.num_tokens_post_pad, device.num_tokens_post_pad) == "");
}

}  // namespace

TEST_CASE("device rows: ids, plans and permuted rows are the host's") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    CHECK(both.difference(
              both.host().local_ids(world.ids.host.tensor(), world.map.host.tensor()),
              both.device().local_ids(world.ids.device.tensor(), world.map.device.tensor())) == "");
    const Plans plans = plans_of(both, world);
    CHECK(both.difference(plans.host.row_of, plans.device.row_of) == "");
    CHECK(both.difference(plans.host.source_of, plans.device.source_of) == "");
    CHECK(both.difference(plans.host.first_row, plans.device.first_row) == "");
    const Twin rows = both.numbers({world.rows, world.columns, world.dtype}, seed);
    CHECK(both.difference(both.host().permute(rows.host.tensor(), plans.host.view()),
                          both.device().permute(rows.device.tensor(), plans.device.view())) == "");
  });
}

TEST_CASE("device rows: aligned blocks are the host's, kept or dropped, of any size") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    const BlockAlignSettings settings{
        world.num_experts, 1 + static_cast<int>(mix(seed, 7) % 33),
        seed % 2 == 0 ? ForeignExperts::kept : ForeignExperts::dropped,
        seed % 3 == 0 ? SortedIdsLength::exact : SortedIdsLength::whole_blocks};
    const bool has_map = seed % 4 != 0;
    check_same(
        both,
        both.host().moe_align_block_size(world.ids.host.tensor(),
                                         has_map ? world.map.host.tensor() : Tensor{}, settings),
        both.device().moe_align_block_size(
            world.ids.device.tensor(), has_map ? world.map.device.tensor() : Tensor{}, settings));
    const Twin counts = both.integers({world.num_experts, 1, DType::i32}, {0, 50}, seed);
    check_same(
        both,
        both.host().batched_moe_align_block_size(counts.host.tensor(), 50, settings.block_size),
        both.device().batched_moe_align_block_size(counts.device.tensor(), 50,
                                                   settings.block_size));
  });
}

TEST_CASE("device rows: the batched format and back, untouched slots included") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    const Plans plans = plans_of(both, world);
    const Twin rows = both.numbers({world.rows, world.columns, world.dtype}, seed);
    const Buffer host = both.host().permute(rows.host.tensor(), plans.host.view());
    const Buffer device = both.device().permute(rows.device.tensor(), plans.device.view());
    const Count capacity = world.rows * world.top_k;
    const BatchedRowsBuffers on_host =
        both.host().to_batched_experts(host.tensor(), plans.host.first_row.tensor(), capacity);
    const BatchedRowsBuffers on_device = both.device().to_batched_experts(
        device.tensor(), plans.device.first_row.tensor(), capacity);
    CHECK(both.difference(on_host.hidden_states, on_device.hidden_states) == "");
    CHECK(both.difference(on_host.expert_num_tokens, on_device.expert_num_tokens) == "");
    CHECK(both.difference(
              both.host().from_batched_experts(on_host.view(), plans.host.first_row.tensor()),
              both.device().from_batched_experts(on_device.view(),
                                                 plans.device.first_row.tensor())) == "");
  });
}

TEST_CASE("device rows: signs, weights, factors and sums round as the host's do") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    const Plans plans = plans_of(both, world);
    const Shape shape{world.rows, world.columns, world.dtype};
    const Twin rows = both.numbers(shape, seed);
    const Twin weights = both.numbers({world.rows, 1, DType::f32}, seed + 1);
    CHECK(both.difference(
              both.host().weight_rows(rows.host.tensor(), weights.host.tensor()),
              both.device().weight_rows(rows.device.tensor(), weights.device.tensor())) == "");
    const Buffer host = both.host().permute(rows.host.tensor(), plans.host.view());
    const Buffer device = both.device().permute(rows.device.tensor(), plans.device.view());
    const Twin signs = both.integers({world.num_local, world.columns, DType::i8}, {-1, 1}, seed);
    both.host().probe_experts(host.tensor(), plans.host.first_row.tensor(), signs.host.tensor());
    both.device().probe_experts(device.tensor(), plans.device.first_row.tensor(),
                                signs.device.tensor());
    CHECK(both.difference(host, device) == "");
    both.host().scale_rows(rows.host.tensor(), 2.5F);
    both.device().scale_rows(rows.device.tensor(), 2.5F);
    const Twin to = both.numbers(shape, seed + 2);
    both.host().add_rows(rows.host.tensor(), to.host.tensor());
    both.device().add_rows(rows.device.tensor(), to.device.tensor());
    CHECK(both.difference(to) == "");
  });
}

TEST_CASE("device rows: weight_and_reduce adds in k order, apart and fused, to the host's bits") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    const Plans plans = plans_of(both, world);
    const Twin rows = both.numbers({world.rows, world.columns, world.dtype}, seed);
    const Buffer host = both.host().permute(rows.host.tensor(), plans.host.view());
    const Buffer device = both.device().permute(rows.device.tensor(), plans.device.view());
    const Twin weights = both.numbers({world.rows, world.top_k, DType::f32}, seed + 3);
    for (const auto reduce : {&Kernels::weight_and_reduce, &Kernels::fused_weight_and_reduce}) {
      const Twin out = both.fresh({world.rows, world.columns, world.dtype});
      (both.host().*reduce)(host.tensor(), plans.host.row_of.tensor(), weights.host.tensor(),
                            out.host.tensor());
      (both.device().*reduce)(device.tensor(), plans.device.row_of.tensor(),
                              weights.device.tensor(), out.device.tensor());
      CHECK(both.difference(out) == "");
    }
  });
}

TEST_CASE("device rows: what dispatches to chosen ranks ask for is the host's") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    const Tensor& host_ids = world.ids.host.tensor();
    const Tensor& device_ids = world.ids.device.tensor();
    const Twin owners = both.integers({world.num_experts, 1, DType::i32}, {0, 6}, seed);
    CHECK(both.difference(both.host().destination_ranks(host_ids, owners.host.tensor()),
                          both.device().destination_ranks(device_ids, owners.device.tensor())) ==
          "");
    CHECK(both.difference(
              both.host().count_choices(host_ids, world.map.host.tensor(), world.num_local),
              both.device().count_choices(device_ids, world.map.device.tensor(),
                                          world.num_local)) == "");
    const Buffer wide = both.host().cast_ids(host_ids, DType::i64);
    const Buffer wide_device = both.device().cast_ids(device_ids, DType::i64);
    CHECK(both.difference(wide, wide_device) == "");
    CHECK(both.difference(both.host().cast_ids(wide.tensor(), DType::i32),
                          both.device().cast_ids(wide_device.tensor(), DType::i32)) == "");
    const Twin weights = both.numbers({world.rows, world.top_k, DType::f32}, seed);
    both.host().replace_foreign_choices({host_ids, weights.host.tensor()}, world.map.host.tensor(),
                                        3);
    both.device().replace_foreign_choices({device_ids, weights.device.tensor()},
                                          world.map.device.tensor(), 3);
    CHECK(both.difference(world.ids) == "");
    CHECK(both.difference(weights) == "");
  });
}

TEST_CASE("device rows: gathered, scattered and resized rows are the host's, of any width") {
  in_worlds([](BothSides& both, const World& world, int seed) {
    if (world.rows == 0) return;
    const Twin rows = both.numbers({world.rows, world.columns, world.dtype}, seed);
    std::vector<double> shuffled;  // each row once: a step that has no divisor in common
    for (Count i = 0; i < world.rows; ++i) {
      shuffled.push_back(static_cast<double>((i * 7919 + seed) % world.rows));
    }
    if (world.rows % 7919 == 0) return;
    const Twin places = both.twin({world.rows, 1, DType::i32}, shuffled);
    CHECK(both.difference(
              both.host().gather_rows(rows.host.tensor(), places.host.tensor()),
              both.device().gather_rows(rows.device.tensor(), places.device.tensor())) == "");
    const Twin to = both.fresh({world.rows + 2, world.columns, world.dtype});
    both.host().scatter_rows(rows.host.tensor(), places.host.tensor(), to.host.tensor());
    both.device().scatter_rows(rows.device.tensor(), places.device.tensor(), to.device.tensor());
    CHECK(both.difference(to) == "");
    for (const Count columns : {Count{1}, world.columns, world.columns + 13}) {
      CHECK(both.difference(both.host().resize_columns(rows.host.tensor(), columns),
                            both.device().resize_columns(rows.device.tensor(), columns)) == "");
    }
  });
}

TEST_CASE("device rows: an id that no map has is refused when the host next waits") {
  on_every_device([](BothSides& both) {
    const Twin map = both.twin({2, 1, DType::i32}, {0, 1});
    const Twin ids = both.twin({2, 1, DType::i32}, {0, 2});
    const Twin wide = both.twin({1, 1, DType::i32}, {5});
    Kernels& device = both.device();
    const auto refused = [&](const char* words) {
      CHECK_THROWS_WITH(both.device_memory().synchronize(), Catch::Contains(words));
      both.device_memory().synchronize();  // once
    };
    const Buffer local = device.local_ids(ids.device.tensor(), map.device.tensor());
    refused("expert 2 of 2");
    const RowPlanBuffers planned = device.plan_rows(ids.device.tensor(), map.device.tensor(), 2);
    refused("expert 2 of 2");
    const RowPlanBuffers unmapped = device.plan_rows(ids.device.tensor(), {}, 1);
    refused("local expert 2 of 1");
    const Buffer counted = device.count_choices(ids.device.tensor(), map.device.tensor(), 2);
    refused("expert 2 of 2");
    const AlignedBlocksBuffers aligned =
        device.moe_align_block_size(ids.device.tensor(), {}, {.num_experts = 2});
    refused("expert 2 of 2");
    const AlignedBlocksBuffers batched =
        device.batched_moe_align_block_size(wide.device.tensor(), 4, 2);
    refused("expert 0 has 5 rows, the capacity is 4");
  });
}
