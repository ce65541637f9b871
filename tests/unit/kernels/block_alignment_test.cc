// Block alignment: the golden vectors of experts-and-oracles.md, 18, expert maps, masked ids,
// sizes. Literals are the specification's or by hand.

#include "tests/catch.h"
#include "tests/unit/kernels/chosen_routing.h"

using namespace moe;

namespace {

using Numbers = std::vector<double>;

struct Blocks {
  Numbers sorted;
  Numbers expert_ids;
  double post_pad;
};

Blocks blocks_of(const AlignedBlocksBuffers& blocks) {
  return {values_of(blocks.sorted_token_ids.tensor()), values_of(blocks.expert_ids.tensor()),
          values_of(blocks.num_tokens_post_pad.tensor())[0]};
}

Blocks aligned(const Numbers& ids, int top_k, BlockAlignSettings settings,
               const Numbers& map = {}) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Count rows = std::ssize(ids) / top_k;
  const Buffer topk_ids = rows_with(*memory, {rows, top_k, DType::i32}, ids);
  const Buffer expert_map =
      rows_with(*memory, {std::ssize(map), map.empty() ? 0 : 1, DType::i32}, map);
  return blocks_of(kernels->moe_align_block_size(topk_ids.tensor(), expert_map.tensor(), settings));
}

Blocks batched(const Numbers& counts, Count capacity, int block_size) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer rows = rows_with(*memory, {std::ssize(counts), 1, DType::i32}, counts);
  return blocks_of(kernels->batched_moe_align_block_size(rows.tensor(), capacity, block_size));
}

const Numbers golden_ids = {2, 3, 0, 3, 2, 1};

}  // namespace

TEST_CASE("moe_align_block_size: the first golden vector") {
  const Blocks blocks = aligned(golden_ids, 2, {.num_experts = 4, .block_size = 4});
  CHECK(blocks.sorted == Numbers{2, 6, 6, 6, 5, 6, 6, 6, 0, 4, 6, 6, 1, 3, 6, 6, 6, 6});
  CHECK(blocks.expert_ids == Numbers{0, 1, 2, 3, -1});
  CHECK(blocks.post_pad == 16);
}

TEST_CASE("moe_align_block_size: the second golden vector") {
  const Blocks blocks =
      aligned({1, 2, 3, 0, 1, 3, 0, 2, 3, 0, 1, 2}, 3, {.num_experts = 4, .block_size = 4});
  CHECK(blocks.sorted == Numbers{3, 6, 9, 12, 0,  4,  10, 12, 1,  7,  11, 12,
                                 2, 5, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12});
  CHECK(blocks.expert_ids == Numbers{0, 1, 2, 3, -1, -1});
  CHECK(blocks.post_pad == 16);
}

TEST_CASE("moe_align_block_size: experts elsewhere keep blocks of nobody or have none") {
  const Numbers map = {-1, -1, 0, 1};
  BlockAlignSettings settings{.num_experts = 4, .block_size = 4};
  const Blocks kept = aligned(golden_ids, 2, settings, map);
  CHECK(kept.sorted == aligned(golden_ids, 2, settings).sorted);
  CHECK(kept.expert_ids == Numbers{-1, -1, 0, 1, -1});
  CHECK(kept.post_pad == 16);
  settings.foreign_experts = ForeignExperts::dropped;
  const Blocks dropped = aligned(golden_ids, 2, settings, map);
  CHECK(dropped.sorted == Numbers{0, 4, 6, 6, 1, 3, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6});
  CHECK(dropped.expert_ids == Numbers{0, 1, -1, -1, -1});
  CHECK(dropped.post_pad == 8);
}

TEST_CASE("moe_align_block_size: a masked choice has no place, an unknown expert is refused") {
  const BlockAlignSettings settings{.num_experts = 3, .block_size = 2};
  const Blocks blocks = aligned({-1, 1, 2, -1}, 2, settings);
  CHECK(blocks.sorted == Numbers{1, 4, 2, 4, 4, 4, 4});
  CHECK(blocks.expert_ids == Numbers{1, 2, -1, -1});
  CHECK(blocks.post_pad == 4);
  CHECK_THROWS_AS(aligned({0, 3}, 2, settings), ContractError);
}

TEST_CASE("moe_align_block_size: lengths, also of few and of no choices") {
  BlockAlignSettings settings{.num_experts = 4, .block_size = 4};
  CHECK(sorted_ids_length(6, settings) == 18);
  settings.length = SortedIdsLength::whole_blocks;
  CHECK(sorted_ids_length(6, settings) == 20);
  CHECK(aligned(golden_ids, 2, settings).sorted.size() == 20);
  CHECK(sorted_ids_length(2, settings) == 8);
  CHECK(aligned({3, 3}, 1, settings).sorted == Numbers{0, 1, 2, 2, 2, 2, 2, 2});
  CHECK(aligned({3, 0}, 1, settings).expert_ids == Numbers{0, 3});
  const Blocks none = aligned({}, 2, settings);
  CHECK(none.sorted.empty());
  CHECK(none.expert_ids.empty());
  CHECK(none.post_pad == 0);
}

TEST_CASE("batched_moe_align_block_size: the golden vector") {
  const Blocks blocks = batched({2, 3, 0, 6, 8}, 8, 4);
  Numbers sorted = {0,  1,  40, 40, 8,  9,  10, 40, 24, 25, 26, 27,
                    28, 29, 40, 40, 32, 33, 34, 35, 36, 37, 38, 39};
  sorted.resize(40, 40);
  CHECK(blocks.sorted == sorted);
  CHECK(blocks.expert_ids == Numbers{0, 1, 3, 3, 4, 4, -1, -1, -1, -1});
  CHECK(blocks.post_pad == 24);
}

TEST_CASE("batched_moe_align_block_size: a capacity that is no multiple of the block") {
  const Blocks blocks = batched({5, 1}, 5, 4);
  CHECK(blocks.sorted == Numbers{0, 1, 2, 3, 4, 10, 10, 10, 5, 10, 10, 10, 10, 10, 10, 10});
  CHECK(blocks.expert_ids == Numbers{0, 0, 1, -1});
  CHECK_THROWS_AS(batched({6, 1}, 5, 4), ContractError);
  CHECK_THROWS_AS(batched({-1, 1}, 5, 4), ContractError);
}
