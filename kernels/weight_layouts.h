// How backends lay expert weights out after loading (experts-and-oracles.md, 9.3), each with its
// way back. Weights and their block scales are host tensors [parts * rows, columns], one part an
// expert; a new layout is a new buffer. Formats of numbers are not looked into: bytes move.

#pragma once

#include <vector>

#include "kernels/base/buffer.h"

namespace moe {

// For each new row of an expert the row it copies, or padding_row for zeros.
using RowOrder = std::vector<Count>;
inline constexpr Count padding_row = -1;

// [gate; up] to [up; gate] (FlashInfer, TRTLLM); its own inverse. REQUIRES even rows.
RowOrder swapped_halves(Count rows);

// [gate; up] to gate, up, gate, up, … (gpt-oss checkpoints, TRTLLM nvfp4), and back.
RowOrder interleaved_halves(Count rows);
RowOrder deinterleaved_halves(Count rows);

// Every two adjacent rows exchanged (TRTLLM mxfp4); its own inverse.
RowOrder swapped_pairs(Count rows);

// TRTLLM's shuffle: in blocks of 16 rows, of 32 where the epilogue's tile is a multiple of 128, row
// i goes to (i mod n) · 8 + i / n with n = block / 8. REQUIRES whole blocks.
RowOrder shuffled_rows(Count rows, Count epilogue_tile);

// Rows filled up to a multiple of 16, 64, 128 or 256. each_half pads both halves; end is what
// FlashInfer's alignment does to a gated w13, after which the middle is no border of halves
// (experts-and-oracles.md, trap 27).
enum class PaddingPlace { end, each_half };
RowOrder padded_rows(Count rows, Count multiple, PaddingPlace place);

// The order that takes the rows of `order` back to `rows` rows. REQUIRES each of them in it once.
RowOrder inverse_of(const RowOrder& order, Count rows);

// Each part in the new order.
Buffer reorder_rows(Memory& memory, const Tensor& weights, Count parts, const RowOrder& order);

// Columns filled up with zeros, or cut: the hidden padding of TRTLLM, 2944 or 3072 for 2880.
Buffer with_columns(Memory& memory, const Tensor& weights, Count columns);

// [E, N, K] to [E, K, N] (OAI Triton); its own inverse. REQUIRES one value an element.
Buffer transpose_parts(Memory& memory, const Tensor& weights, Count parts);

// [E, N, K] to [E, K / block, N, block] (TRTLLM's block-major K), and back to rows of `columns`.
// REQUIRES whole blocks.
Buffer to_block_major(Memory& memory, const Tensor& weights, Count parts, Count block);
Buffer from_block_major(Memory& memory, const Tensor& weights, Count parts, Count columns);

// [E, N, K] to [E, N / 16, K, 16]: the tiles of the CPU's grouped product (vLLM:
// cpu_prepack_moe_weight), and back. REQUIRES rows in sixteens.
Buffer to_row_tiles(Memory& memory, const Tensor& weights, Count parts);
Buffer from_row_tiles(Memory& memory, const Tensor& weights, Count parts);

}  // namespace moe
