// Orders of rows are permutations with holes; everything else is one loop over elements that says
// where each goes. Called once, when weights are made ready.

#include "kernels/weight_layouts.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr Count tile_rows = 16;

void require_even(Count rows) {
  MOE_CHECK(rows % 2 == 0, text(rows, " rows have no halves or pairs"));
}

Count rows_each(const Tensor& weights, Count parts) {
  MOE_CHECK(parts > 0 && weights.rows % parts == 0 && weights.device.kind == DeviceKind::cpu,
            text("weights ", shape_text(weights), " in ", parts, " parts"));
  return weights.rows / parts;
}

// Of one part.
struct Element {
  Count row;
  Count column;
};

// Copies element (r, c) of each part [rows, columns] to the offset that place(r, c) says, or the
// other way round.
enum class Way { there, back };

template <typename Place>
void move_elements(const Tensor& plain, const Tensor& placed, Count parts, Way way, Place place) {
  const Count rows = plain.rows / parts;
  const Count size = size_of(plain.dtype);
  for (Count part = 0; part < parts; ++part) {
    const Count first = part * rows * plain.columns;
    for (Count row = 0; row < rows; ++row) {
      for (Count column = 0; column < plain.columns; ++column) {
        std::byte* here =
            static_cast<std::byte*>(plain.data) + (first + row * plain.columns + column) * size;
        std::byte* there =
            static_cast<std::byte*>(placed.data) + (first + place(Element{row, column})) * size;
        std::memcpy(way == Way::there ? there : here, way == Way::there ? here : there,
                    static_cast<std::size_t>(size));
      }
    }
  }
}

auto row_tile_place(Count columns) {
  return [=](Element at) {
    return (at.row / tile_rows * columns + at.column) * tile_rows + at.row % tile_rows;
  };
}

auto block_major_place(Count rows, Count block) {
  return
      [=](Element at) { return (at.column / block * rows + at.row) * block + at.column % block; };
}

}  // namespace

RowOrder swapped_halves(Count rows) {
  require_even(rows);
  RowOrder order;
  for (Count row = 0; row < rows; ++row) order.push_back((row + rows / 2) % rows);
  return order;
}

RowOrder interleaved_halves(Count rows) {
  require_even(rows);
  RowOrder order;
  for (Count row = 0; row < rows; ++row) order.push_back(row / 2 + row % 2 * (rows / 2));
  return order;
}

RowOrder deinterleaved_halves(Count rows) { return inverse_of(interleaved_halves(rows), rows); }

RowOrder swapped_pairs(Count rows) {
  require_even(rows);
  RowOrder order;
  for (Count row = 0; row < rows; ++row) order.push_back(row + 1 - row % 2 * 2);
  return order;
}

RowOrder shuffled_rows(Count rows, Count epilogue_tile) {
  const Count block = epilogue_tile % 128 == 0 ? 32 : 16;
  MOE_CHECK(epilogue_tile > 0 && rows % block == 0,
            text(rows, " rows in blocks of ", block, ", epilogue tile ", epilogue_tile));
  const Count lanes = block / 8;
  RowOrder order(static_cast<std::size_t>(rows));
  for (Count row = 0; row < rows; ++row) {
    const Count within = row % block;
    order[static_cast<std::size_t>(row - within + within % lanes * 8 + within / lanes)] = row;
  }
  return order;
}

RowOrder padded_rows(Count rows, Count multiple, PaddingPlace place) {
  MOE_CHECK(multiple > 0, text("rows padded to a multiple of ", multiple));
  if (place == PaddingPlace::each_half) require_even(rows);
  const Count pieces = place == PaddingPlace::each_half ? 2 : 1;
  const Count each = rows / pieces;
  RowOrder order;
  for (Count piece = 0; piece < pieces; ++piece) {
    for (Count row = 0; row < each; ++row) order.push_back(piece * each + row);
    while (std::ssize(order) % multiple != 0) order.push_back(padding_row);
  }
  return order;
}

RowOrder inverse_of(const RowOrder& order, Count rows) {
  RowOrder inverse(static_cast<std::size_t>(rows), padding_row);
  for (std::size_t row = 0; row < order.size(); ++row) {
    if (order[row] == padding_row) continue;
    MOE_CHECK(order[row] >= 0 && order[row] < rows &&
                  inverse[static_cast<std::size_t>(order[row])] == padding_row,
              text("row ", order[row], " of ", rows, " is twice in the order, or is none"));
    inverse[static_cast<std::size_t>(order[row])] = static_cast<Count>(row);
  }
  for (const Count row : inverse) MOE_CHECK(row != padding_row, "a row is not in the order");
  return inverse;
}

Buffer reorder_rows(Memory& memory, const Tensor& weights, Count parts, const RowOrder& order) {
  const Count rows = rows_each(weights, parts);
  const Count rows_after = std::ssize(order);
  Buffer out(memory, {parts * rows_after, weights.columns, weights.dtype});
  memory.fill(out.tensor(), 0);
  const auto size = static_cast<std::size_t>(row_bytes(weights));
  for (Count part = 0; part < parts; ++part) {
    for (Count row = 0; row < rows_after; ++row) {
      const Count source = order[static_cast<std::size_t>(row)];
      if (source == padding_row) continue;
      MOE_CHECK(source >= 0 && source < rows, text("row ", source, " of ", rows));
      std::memcpy(row_at(out.tensor(), part * rows_after + row),
                  row_at(weights, part * rows + source), size);
    }
  }
  return out;
}

Buffer with_columns(Memory& memory, const Tensor& weights, Count columns) {
  Buffer out(memory, {weights.rows, columns, weights.dtype});
  memory.fill(out.tensor(), 0);
  const Count kept = std::min(columns, weights.columns) * size_of(weights.dtype);
  for (Count row = 0; row < weights.rows; ++row) {
    std::memcpy(row_at(out.tensor(), row), row_at(weights, row), static_cast<std::size_t>(kept));
  }
  return out;
}

Buffer transpose_parts(Memory& memory, const Tensor& weights, Count parts) {
  const Count rows = rows_each(weights, parts);
  MOE_CHECK(weights.dtype != DType::e2m1x2, "two values a byte do not transpose");
  Buffer out(memory, {parts * weights.columns, rows, weights.dtype});
  move_elements(weights, out.tensor(), parts, Way::there,
                [=](Element at) { return at.column * rows + at.row; });
  return out;
}

Buffer to_block_major(Memory& memory, const Tensor& weights, Count parts, Count block) {
  const Count rows = rows_each(weights, parts);
  MOE_CHECK(block > 0 && weights.columns % block == 0,
            text("weights ", shape_text(weights), " in blocks of ", block, " columns"));
  Buffer out(memory, {weights.rows * (weights.columns / block), block, weights.dtype});
  move_elements(weights, out.tensor(), parts, Way::there, block_major_place(rows, block));
  return out;
}

Buffer from_block_major(Memory& memory, const Tensor& weights, Count parts, Count columns) {
  const Count blocks = weights.columns == 0 ? 0 : columns / weights.columns;
  MOE_CHECK(blocks > 0 && columns % weights.columns == 0 && weights.rows % blocks == 0,
            text("blocks ", shape_text(weights), " of rows of ", columns, " columns"));
  Buffer out(memory, {weights.rows / blocks, columns, weights.dtype});
  move_elements(out.tensor(), weights, parts, Way::back,
                block_major_place(rows_each(out.tensor(), parts), weights.columns));
  return out;
}

Buffer to_row_tiles(Memory& memory, const Tensor& weights, Count parts) {
  MOE_CHECK(rows_each(weights, parts) % tile_rows == 0,
            text("weights ", shape_text(weights), " in tiles of ", tile_rows, " rows"));
  Buffer out(memory, {weights.rows, weights.columns, weights.dtype});
  move_elements(weights, out.tensor(), parts, Way::there, row_tile_place(weights.columns));
  return out;
}

Buffer from_row_tiles(Memory& memory, const Tensor& weights, Count parts) {
  MOE_CHECK(rows_each(weights, parts) % tile_rows == 0,
            text("weights ", shape_text(weights), " in tiles of ", tile_rows, " rows"));
  Buffer out(memory, {weights.rows, weights.columns, weights.dtype});
  move_elements(out.tensor(), weights, parts, Way::back, row_tile_place(weights.columns));
  return out;
}

}  // namespace moe
