// Places in one block: one Buffer each, the same offsets whatever was there before, everybody else
// in the rank's own memory.

#include "comm/row_places.h"

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

using namespace moe;
using namespace moe::test;

namespace {

constexpr RowRoom room = {.first_gathered = 8192, .others_gathered = 256, .scattered = 2048};
constexpr int num_ranks = 2;

// A block and its places over a host's memory.
struct Places {
  explicit Places(Poison poison)
      : memory(make_host_memory(poison)),
        block(*memory, {1, RowPlaces::block_bytes(room, num_ranks), DType::u8}),
        places(*memory, block.tensor(), room, num_ranks) {}

  Count offset(const Tensor& tensor) const {
    return static_cast<const std::byte*>(tensor.data) -
           static_cast<const std::byte*>(block.tensor().data);
  }

  std::unique_ptr<Memory> memory;
  Buffer block;
  RowPlaces places;
};

const std::vector<RowPlace> all_places = {{RowsAre::to_gather, 0},  {RowsAre::to_gather, 1},
                                          {RowsAre::to_gather, 5},  {RowsAre::gathered, 0},
                                          {RowsAre::gathered, 1},   {RowsAre::gathered, 5},
                                          {RowsAre::to_scatter, 0}, {RowsAre::scattered, 0}};

// Bytes of rows that a place was promised to have room for.
Count promised(RowPlace place) {
  const bool is_shared = place.rows == RowsAre::gathered || place.rows == RowsAre::to_scatter;
  const bool is_gather = place.rows == RowsAre::to_gather || place.rows == RowsAre::gathered;
  const Count own =
      !is_gather ? room.scattered : (place.index == 0 ? room.first_gathered : room.others_gathered);
  return is_shared ? num_ranks * own : own;
}

}  // namespace

TEST_CASE("row places: full places do not touch, with guard rows and without") {
  for (const Poison poison : {Poison::on, Poison::off}) {
    Places at(poison);
    std::vector<Buffer> buffers;
    for (const RowPlace place : all_places) {
      buffers.emplace_back(at.places.memory_for(place), Shape{1, promised(place), DType::u8});
      CHECK(at.places.holds(buffers.back().tensor()));
      for (const RowPlace other : all_places) {
        const bool is_it = other.rows == place.rows && other.index == place.index;
        CHECK(at.places.has_at(other, buffers.back().tensor()) == is_it);
      }
    }
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      at.memory->fill(buffers[i].tensor(), 0x01010101U * static_cast<std::uint32_t>(i + 1));
    }
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      const auto size = static_cast<std::size_t>(bytes_of(buffers[i].tensor()));
      CHECK(bytes_in(buffers[i]) == Bytes(size, static_cast<std::uint8_t>(i + 1)));
      CHECK(buffers[i].guards_intact());
    }
  }
}

TEST_CASE("row places: rows of one shape have one offset, whatever was there before") {
  Places fresh(Poison::on);
  Places used(Poison::on);
  for (const RowPlace place : all_places) {
    { const Buffer before(used.places.memory_for(place), {3, 7, DType::bf16}); }
    const Buffer one(fresh.places.memory_for(place), {5, 10, DType::f32});
    const Buffer other(used.places.memory_for(place), {5, 10, DType::f32});
    CHECK(fresh.offset(one.tensor()) == used.offset(other.tensor()));
  }
}

TEST_CASE("row places: a second Buffer, a large one and an unknown place lie elsewhere") {
  Places at(Poison::on);
  for (const RowPlace place : all_places) {
    Memory& memory = at.places.memory_for(place);
    auto first = std::make_optional<Buffer>(memory, Shape{1, 8, DType::u8});
    const Buffer second(memory, {1, 8, DType::u8});
    CHECK(at.places.holds(first->tensor()));
    CHECK_FALSE(at.places.holds(second.tensor()));
    first.reset();
    CHECK(at.places.holds(Buffer(memory, {1, 8, DType::u8}).tensor()));
    const Count far_too_many = Count{1} << 20U;
    CHECK_FALSE(at.places.holds(Buffer(memory, {1, far_too_many, DType::u8}).tensor()));
  }
  CHECK(&at.places.memory_for({RowsAre::gathered, 6}) == at.memory.get());
  CHECK(&at.places.memory_for({RowsAre::scattered, 1}) == at.memory.get());
  CHECK(at.places.holds(Buffer(*at.memory, {0, 9, DType::f32}).tensor()));
}

TEST_CASE("row places: part of a tensor is there, one that leaves the block is not") {
  Places at(Poison::off);
  const Tensor block = at.block.tensor();
  const auto bytes_at = [&](Count begin, Count bytes) {
    return Tensor{static_cast<std::byte*>(block.data) + begin, 1, bytes, DType::u8, {}};
  };
  CHECK(at.places.holds(bytes_at(0, bytes_of(block))));
  CHECK(at.places.holds(bytes_at(100, 20)));
  CHECK_FALSE(at.places.holds(bytes_at(100, bytes_of(block) - 99)));
  CHECK_FALSE(at.places.holds(bytes_at(-1, 20)));
}

TEST_CASE("row places: spare rows are nobody's Buffer's, for rows that this rank alone touches") {
  Places at(Poison::on);
  const Tensor like{nullptr, 2, 16, DType::f32, {}};
  for (const RowPlace place : all_places) {
    const Buffer buffer(at.places.memory_for(place), {1, promised(place), DType::u8});
    const auto spare = at.places.spare(like, place);
    const bool is_own = place.rows == RowsAre::to_gather || place.rows == RowsAre::scattered;
    REQUIRE(spare.has_value() == is_own);
    if (!is_own) continue;
    CHECK(at.places.holds(*spare));
    CHECK((spare->rows == 2 && spare->columns == 16 && spare->dtype == DType::f32));
    at.memory->fill(buffer.tensor(), 0x05050505U);
    at.memory->fill(*spare, 0);
    const auto size = static_cast<std::size_t>(promised(place));
    CHECK(bytes_in(buffer) == Bytes(size, 5));
    CHECK(buffer.guards_intact());
  }
  const Tensor large{nullptr, 1, room.others_gathered + 4096, DType::u8, {}};
  CHECK_FALSE(at.places.spare(large, {RowsAre::to_gather, 1}).has_value());
  CHECK(at.places.spare(large, {RowsAre::to_gather, 0}).has_value());
  CHECK_FALSE(at.places.spare(like, {RowsAre::to_gather, 6}).has_value());
}

TEST_CASE("row places: what moves through a place's memory arrives") {
  Places at(Poison::on);
  Memory& memory = at.places.memory_for({RowsAre::to_scatter});
  std::vector<float> values = {1, 2, 3, 4};
  const Buffer rows = copy_of({values.data(), 2, 2, DType::f32, {}}, memory);
  const Buffer copy(*at.memory, {2, 2, DType::f32});
  memory.copy(rows.tensor(), copy.tensor());
  const std::vector<Tensor> operands = {rows.tensor(), copy.tensor()};
  memory.add_rows(operands, rows.tensor());
  std::vector<float> sums(4);
  memory.copy_to_host(rows.tensor(), {sums.data(), 2, 2, DType::f32, {}});
  CHECK(sums == std::vector<float>{2, 4, 6, 8});
}
