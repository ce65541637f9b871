// Buffers: poisoned when fresh and when reused, guarded on both sides, moved without moving the
// data. Without poison nothing is filled.

#include "kernels/base/buffer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/routing.h"
#include "tests/catch.h"

using namespace moe;

namespace {

bool all_poison(const Buffer& buffer) {
  return std::ranges::all_of(elements_of<std::int32_t>(buffer.tensor()), [](std::int32_t value) {
    return static_cast<std::uint32_t>(value) == poison_word(DType::i32);
  });
}

}  // namespace

TEST_CASE("buffer: fresh memory is poison, also when a block is used again") {
  const auto memory = make_host_memory(Poison::on);
  void* first = nullptr;
  {
    const Buffer buffer(*memory, {3, 5, DType::i32});
    first = buffer.tensor().data;
    CHECK(all_poison(buffer));
    std::ranges::fill(elements_of<std::int32_t>(buffer.tensor()), 7);
  }
  const Buffer again(*memory, {3, 5, DType::i32});
  CHECK(again.tensor().data == first);
  CHECK(all_poison(again));
}

TEST_CASE("buffer: one byte written before or after the rows breaks a guard") {
  const auto memory = make_host_memory(Poison::on);
  const Buffer buffer(*memory, {4, 33, DType::bf16});
  auto* data = static_cast<std::byte*>(buffer.tensor().data);
  const Count bytes = bytes_of(buffer.tensor());
  CHECK(buffer.guards_intact());
  SECTION("before") { data[-1] = std::byte{1}; }
  SECTION("after") { data[(bytes + 63) / 64 * 64] = std::byte{1}; }
  CHECK_FALSE(buffer.guards_intact());
}

TEST_CASE("buffer: moving keeps the view, the source owns nothing") {
  const auto memory = make_host_memory(Poison::on);
  Buffer from(*memory, {2, 2, DType::f32});
  const void* data = from.tensor().data;
  const Buffer to = std::move(from);
  CHECK(to.tensor().data == data);
  CHECK(from.tensor().data == nullptr);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("buffer: an empty one is legal and has no guards to break") {
  const auto memory = make_host_memory(Poison::off);
  const Buffer buffer(*memory, {0, 64, DType::bf16});
  CHECK(buffer.tensor().rows == 0);
  CHECK(buffer.guards_intact());
  CHECK_THROWS_AS(Buffer(*memory, {-1, 2, DType::f32}), ContractError);
}

TEST_CASE("tensor: slices keep to their rows") {
  std::vector<float> data(12);
  const Tensor tensor{data.data(), 4, 3, DType::f32, {}};
  CHECK(rows_of(tensor, 1, 2).data == &data[3]);
  CHECK(rows_of(tensor, 4, 0).rows == 0);
  CHECK_THROWS_AS(rows_of(tensor, 3, 2), ContractError);
  CHECK_THROWS_AS(elements_of<std::int32_t>(tensor), ContractError);
  CHECK(shape_text(tensor) == "[4, 3] f32 on cpu");
}

TEST_CASE("routing: tags hold a rank and a row") {
  const std::int64_t tag = provenance_tag(63, 4'000'000'000);
  CHECK(rank_of_tag(tag) == 63);
  CHECK(row_of_tag(tag) == 4'000'000'000);
}
