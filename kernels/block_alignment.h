// Block alignment: the choices of the dispatched rows in blocks of one expert each, as grouped
// products read them (vLLM: moe_align_block_size.py; experts-and-oracles.md, 4.1).

#pragma once

#include "kernels/base/buffer.h"

namespace moe {

// What becomes of blocks whose expert is not on this rank (vLLM: ignore_invalid_experts).
// kept: they are there and their expert_ids are -1, the products owe them zeros. dropped: no block.
enum class ForeignExperts { kept, dropped };

// vLLM: pad_sorted_ids.
enum class SortedIdsLength { exact, whole_blocks };

struct BlockAlignSettings {
  int num_experts = 0;  // global where there is a map
  int block_size = 16;
  ForeignExperts foreign_experts = ForeignExperts::kept;
  SortedIdsLength length = SortedIdsLength::exact;
};

struct AlignedBlocks {
  Tensor sorted_token_ids;     // [length, 1] i32: flat places row * top_k + slot; the number of all
                               // choices where nothing is
  Tensor expert_ids;           // [blocks, 1] i32: the expert of each block, -1 none
  Tensor num_tokens_post_pad;  // [1, 1] i32: how much of sorted_token_ids is blocks
};

struct AlignedBlocksBuffers {
  Buffer sorted_token_ids;
  Buffer expert_ids;
  Buffer num_tokens_post_pad;

  AlignedBlocks view() const {
    return {sorted_token_ids.tensor(), expert_ids.tensor(), num_tokens_post_pad.tensor()};
  }
};

// The length that sorted_token_ids has for that many choices.
Count sorted_ids_length(Count num_choices, const BlockAlignSettings& settings);

}  // namespace moe
