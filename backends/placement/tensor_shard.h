// Tensor-sharded experts, for worlds without expert parallelism: every rank holds a part of every
// expert (vLLM: the weight loaders of fused_moe/layer.py; experts-and-oracles.md, 1.1 and 2.4).
// The parts' outputs add up to the whole expert's.

#pragma once

#include "backends/standard_experts.h"

namespace moe {

// Which part of how many.
struct TensorShard {
  int rank = 0;
  int size = 1;
};

// The part of experts that are whole. w13: rows of each expert (of each half, where gate and up
// stand one above the other); w2: the columns that go with them. Probe experts, which have no inner
// width, are split by output column: shard s of S gives columns [s * H / S, (s + 1) * H / S), and
// zeros elsewhere. REQUIRES that the shards divide the inner width.
ExpertWeights shard_of(ExpertWeights weights, TensorShard shard, Memory& memory);

// The part of codes that were made of whole experts by that recipe: scales are cut as the codes are
// whose they are, and stay what they were (vLLM: weight loaders cut a checkpoint's codes and
// scales). REQUIRES parts that cut no group of values that share a scale (cut_group_of).
QuantizedGemmWeights shard_of(QuantizedGemmWeights whole, QuantRecipe recipe, TensorShard shard,
                              Memory& memory);

// The group of weights, in rows of W13 or columns of W2, that parts of an inner width would cut;
// 0: none.
Count cut_group_of(QuantRecipe recipe, Count part_width);

// Rows [s * n / S, (s + 1) * n / S) of each of num_blocks blocks of n rows.
Buffer row_shard(const Tensor& rows, Count num_blocks, TensorShard shard, Memory& memory);

// Columns [s * n / S, (s + 1) * n / S) of n.
Buffer column_shard(const Tensor& rows, TensorShard shard, Memory& memory);

}  // namespace moe
