// Weight layouts: every one has its way back, for all small shapes, and puts rows where
// experts-and-oracles.md, 9.3, says. Gate and up differ in every test: swapped halves have the same
// shape (trap 26).

#include "kernels/weight_layouts.h"

#include <cstring>

#include "tests/catch.h"

using namespace moe;

namespace {

struct Host {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);

  // Every element differs from every other.
  Buffer weights(Count rows, Count columns) {
    Buffer made(*memory, {rows, columns, DType::i32});
    const auto values = elements_of<std::int32_t>(made.tensor());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i) + 1;
    return made;
  }
};

bool is_same(const Tensor& a, const Tensor& b) {
  return a.rows == b.rows && a.columns == b.columns &&
         (bytes_of(a) == 0 ||
          std::memcmp(a.data, b.data, static_cast<std::size_t>(bytes_of(a))) == 0);
}

// Whether an order of rows and its inverse give the weights back, part by part.
bool comes_back(const RowOrder& order, Count rows) {
  Host host;
  const Buffer weights = host.weights(3 * rows, 2);
  const Buffer there = reorder_rows(*host.memory, weights.tensor(), 3, order);
  const Buffer back = reorder_rows(*host.memory, there.tensor(), 3, inverse_of(order, rows));
  return is_same(back.tensor(), weights.tensor());
}

// Layouts that move elements, of parts of a shape.
void come_back(Count parts, Count rows, Count columns) {
  Host host;
  Memory& memory = *host.memory;
  const Buffer plain = host.weights(parts * rows, columns);
  const Tensor& weights = plain.tensor();
  const Buffer transposed = transpose_parts(memory, weights, parts);
  CHECK(transposed.tensor().columns == rows);
  CHECK(is_same(transpose_parts(memory, transposed.tensor(), parts).tensor(), weights));
  for (Count block = 1; block <= columns; ++block) {
    if (columns % block != 0) continue;
    const Buffer blocks = to_block_major(memory, weights, parts, block);
    CHECK(is_same(from_block_major(memory, blocks.tensor(), parts, columns).tensor(), weights));
  }
  const Buffer sixteen = host.weights(parts * rows * 16, columns);
  const Buffer tiles = to_row_tiles(memory, sixteen.tensor(), parts);
  CHECK(is_same(from_row_tiles(memory, tiles.tensor(), parts).tensor(), sixteen.tensor()));
  const Buffer wide = with_columns(memory, weights, columns + 5);
  CHECK(is_same(with_columns(memory, wide.tensor(), columns).tensor(), weights));
}

std::vector<std::int32_t> elements(const Buffer& buffer) {
  const auto values = elements_of<std::int32_t>(buffer.tensor());
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("weight layouts: orders of rows are where the page says") {
  CHECK(swapped_halves(6) == RowOrder{3, 4, 5, 0, 1, 2});
  CHECK(interleaved_halves(6) == RowOrder{0, 3, 1, 4, 2, 5});
  CHECK(deinterleaved_halves(6) == RowOrder{0, 2, 4, 1, 3, 5});
  CHECK(swapped_pairs(6) == RowOrder{1, 0, 3, 2, 5, 4});
  CHECK(padded_rows(6, 4, PaddingPlace::each_half) == RowOrder{0, 1, 2, -1, 3, 4, 5, -1});
  CHECK(padded_rows(6, 4, PaddingPlace::end) == RowOrder{0, 1, 2, 3, 4, 5, -1, -1});
  const RowOrder sixteen = shuffled_rows(16, 64);
  CHECK(sixteen == RowOrder{0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15});
  const RowOrder thirty_two = shuffled_rows(64, 128);
  CHECK(thirty_two[8] == 1);
  CHECK(thirty_two[24] == 3);
  CHECK(thirty_two[1] == 4);
  CHECK(thirty_two[32 + 1] == 32 + 4);
}

TEST_CASE("weight layouts: every order of rows has its way back, for all small counts") {
  for (Count rows = 2; rows <= 40; rows += 2) {
    INFO(rows << " rows");
    CHECK(comes_back(swapped_halves(rows), rows));
    CHECK(swapped_halves(rows) == inverse_of(swapped_halves(rows), rows));
    CHECK(comes_back(interleaved_halves(rows), rows));
    CHECK(inverse_of(deinterleaved_halves(rows), rows) == interleaved_halves(rows));
    CHECK(comes_back(swapped_pairs(rows), rows));
    CHECK(swapped_pairs(rows) == inverse_of(swapped_pairs(rows), rows));
    for (const Count multiple : {16, 64, 128, 256}) {
      for (const PaddingPlace place : {PaddingPlace::end, PaddingPlace::each_half}) {
        const RowOrder padded = padded_rows(rows, multiple, place);
        CHECK(std::ssize(padded) % multiple == 0);
        CHECK(comes_back(padded, rows));
      }
    }
  }
  for (const Count tile : {16, 64, 128, 256}) {
    for (Count rows = 32; rows <= 256; rows += 32)
      CHECK(comes_back(shuffled_rows(rows, tile), rows));
  }
}

TEST_CASE("weight layouts: padding is zeros, and padding at the end mixes halves (trap 27)") {
  Host host;
  const Buffer w13 = host.weights(6, 1);  // gate 1 2 3, up 4 5 6
  const auto swapped = [&](PaddingPlace place) {
    const Buffer padded = reorder_rows(*host.memory, w13.tensor(), 1, padded_rows(6, 8, place));
    return elements(
        reorder_rows(*host.memory, padded.tensor(), 1, swapped_halves(padded.tensor().rows)));
  };
  using Rows = std::vector<std::int32_t>;
  CHECK(swapped(PaddingPlace::each_half) == Rows{4, 5, 6, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0});
  CHECK(swapped(PaddingPlace::end) == Rows{5, 6, 0, 0, 1, 2, 3, 4});
}

TEST_CASE("weight layouts: transposed, block-major and tiled weights come back, all small shapes") {
  for (Count parts = 1; parts <= 3; ++parts) {
    for (Count rows = 1; rows <= 9; ++rows) {
      for (Count columns = 1; columns <= 12; ++columns) come_back(parts, rows, columns);
    }
  }
}

TEST_CASE("weight layouts: elements are where the page says") {
  Host host;
  const Buffer two = host.weights(4, 4);  // two experts of two rows
  using Elements = std::vector<std::int32_t>;
  CHECK(elements(transpose_parts(*host.memory, two.tensor(), 2)) ==
        Elements{1, 5, 2, 6, 3, 7, 4, 8, 9, 13, 10, 14, 11, 15, 12, 16});
  CHECK(elements(to_block_major(*host.memory, two.tensor(), 2, 2)) ==
        Elements{1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 13, 14, 11, 12, 15, 16});
  const Elements tiles = elements(to_row_tiles(*host.memory, host.weights(32, 3).tensor(), 1));
  CHECK(tiles[0] == 1);
  CHECK(tiles[1] == 4);    // row 1, column 0
  CHECK(tiles[16] == 2);   // row 0, column 1
  CHECK(tiles[48] == 49);  // row 16, column 0
  CHECK(elements(with_columns(*host.memory, host.weights(2, 2).tensor(), 3)) ==
        Elements{1, 2, 0, 3, 4, 0});
  CHECK(with_columns(*host.memory, host.weights(1, 2880).tensor(), 3072).tensor().columns == 3072);
}

TEST_CASE("weight layouts: shapes that do not fit are refused") {
  Host host;
  const Buffer weights = host.weights(6, 4);
  CHECK_THROWS_AS(swapped_halves(5), ContractError);
  CHECK_THROWS_AS(shuffled_rows(24, 64), ContractError);
  CHECK_THROWS_AS(inverse_of({0, 0}, 2), ContractError);
  CHECK_THROWS_AS(inverse_of({0}, 2), ContractError);
  CHECK_THROWS_AS(reorder_rows(*host.memory, weights.tensor(), 4, {0}), ContractError);
  CHECK_THROWS_AS(reorder_rows(*host.memory, weights.tensor(), 2, {3}), ContractError);
  CHECK_THROWS_AS(to_row_tiles(*host.memory, weights.tensor(), 1), ContractError);
  CHECK_THROWS_AS(to_block_major(*host.memory, weights.tensor(), 1, 3), ContractError);
}
