// Cuts weights of whole experts. Columns are cut row by row, since a Tensor never strides.
// A new kind of weights gets its own shard_of here.

#include "backends/placement/tensor_shard.h"

#include <algorithm>
#include <vector>

#include "kernels/base/text.h"

namespace moe {
namespace {

Count begin_of(Count whole, int shard, int size) { return whole * shard / size; }

void check_divides(Count whole, TensorShard shard, std::string_view what) {
  MOE_CHECK(whole % shard.size == 0,
            text(what, " of ", whole, " does not divide by ", shard.size, " shards"));
}

// Signs are cut on the host: they are few, and loaded once.
ExpertWeights shard_of(ProbeWeights weights, TensorShard shard, Memory& memory) {
  const Tensor& signs = weights.signs.tensor();
  const auto begin = begin_of(signs.columns, shard.rank, shard.size);
  const auto end = begin_of(signs.columns, shard.rank + 1, shard.size);
  std::vector<std::int8_t> values(static_cast<std::size_t>(bytes_of(signs)));
  const Tensor on_host = {values.data(), signs.rows, signs.columns, signs.dtype, {}};
  memory.copy_to_host(signs, on_host);
  for (auto row = values.begin(); row != values.end(); row += signs.columns) {
    std::fill(row, row + begin, std::int8_t{0});
    std::fill(row + end, row + signs.columns, std::int8_t{0});
  }
  memory.copy_from_host(on_host, signs);
  return weights;
}

// A bias of the first product is cut as its rows are; that of the second is added by one shard.
ExpertWeights shard_of(GemmWeights whole, TensorShard shard, Memory& memory) {
  const Count num_experts = whole.w2.tensor().rows / whole.w13.tensor().columns;
  const bool has_halves = activation_row(whole.activation).gate == GateLayout::halves;
  const Count num_blocks = num_experts * (has_halves ? 2 : 1);
  GemmWeights part{.w13 = row_shard(whole.w13.tensor(), num_blocks, shard, memory),
                   .w2 = column_shard(whole.w2.tensor(), shard, memory),
                   .w13_bias = {},
                   .w2_bias = std::move(whole.w2_bias),
                   .activation = whole.activation};
  const Tensor& bias = whole.w13_bias.tensor();
  if (bias.columns > 0) {
    const Tensor each = {bias.data, bias.rows * bias.columns, 1, bias.dtype, bias.device};
    const Buffer cut = row_shard(each, num_blocks, shard, memory);
    part.w13_bias = Buffer(memory, {bias.rows, bias.columns / shard.size, bias.dtype});
    memory.copy(cut.tensor(),
                {part.w13_bias.tensor().data, cut.tensor().rows, 1, bias.dtype, bias.device});
  }
  if (part.w2_bias.tensor().columns > 0 && shard.rank > 0) memory.fill(part.w2_bias.tensor(), 0);
  return part;
}

}  // namespace

ExpertWeights shard_of(ExpertWeights weights, TensorShard shard, Memory& memory) {
  if (shard.size == 1) return weights;
  return std::visit([&](auto&& whole) { return shard_of(std::move(whole), shard, memory); },
                    std::move(weights));
}

Buffer row_shard(const Tensor& rows, Count num_blocks, TensorShard shard, Memory& memory) {
  const Count each = num_blocks == 0 ? 0 : rows.rows / num_blocks;
  check_divides(each, shard, "an inner width");
  const Count kept = each / shard.size;
  Buffer part(memory, {num_blocks * kept, rows.columns, rows.dtype});
  for (Count block = 0; block < num_blocks; ++block) {
    memory.copy(rows_of(rows, block * each + shard.rank * kept, kept),
                rows_of(part.tensor(), block * kept, kept));
  }
  return part;
}

Buffer column_shard(const Tensor& rows, TensorShard shard, Memory& memory) {
  check_divides(rows.columns, shard, "an inner width");
  const Count kept = rows.columns / shard.size;
  Buffer part(memory, {rows.rows, kept, rows.dtype});
  for (Count row = 0; row < rows.rows; ++row) {
    const Tensor whole = rows_of(rows, row, 1);
    const Tensor from = {row_at(whole, 0) + shard.rank * kept * size_of(rows.dtype), 1, kept,
                         rows.dtype, rows.device};
    memory.copy(from, rows_of(part.tensor(), row, 1));
  }
  return part;
}

}  // namespace moe
