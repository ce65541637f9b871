// The block's layout: each place, then the spare rows of each, in the order of RowsAre. A place is
// a Memory that has one block to give and sends everybody else on.

#include "comm/row_places.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "kernels/base/check.h"

namespace moe {
namespace {

// What a Buffer's guard rows take in its place at most: of rows up to 64 KiB.
constexpr Count guards_max = Count{128} << 10U;
constexpr Count page = 4096;

// Tensors of a list that have places.
constexpr int listed_max = 6;

// In the order in which they lie.
constexpr auto all_places = [] {
  std::array<RowPlace, 2 * listed_max + 2> places;
  for (int i = 0; i < listed_max; ++i) {
    places[i] = {RowsAre::to_gather, i};
    places[listed_max + i] = {RowsAre::gathered, i};
  }
  places[2 * listed_max] = {RowsAre::to_scatter, 0};
  places[2 * listed_max + 1] = {RowsAre::scattered, 0};
  return places;
}();

// Rows that peers' calls touch lie at the same offset on all ranks, or these calls go astray.
bool is_shared(RowsAre rows) { return rows == RowsAre::gathered || rows == RowsAre::to_scatter; }

bool is_of_gather(RowsAre rows) { return rows == RowsAre::to_gather || rows == RowsAre::gathered; }

// Bytes of rows that a place takes.
Count room_of(RowPlace place, const RowRoom& room, int num_ranks) {
  const Count own = !is_of_gather(place.rows) ? room.scattered
                    : place.index == 0        ? room.first_gathered
                                              : room.others_gathered;
  const Count rows = is_shared(place.rows) ? own * num_ranks : own;
  return (rows + page - 1) / page * page;
}

Tensor as_bytes(const void* data, Count bytes, Device device) {
  return {const_cast<void*>(data), 1, bytes, DType::u8, device};
}

bool is_in(const Tensor& room, const Tensor& tensor) {
  if (bytes_of(tensor) == 0) return true;
  const std::less_equal<> is_before;
  const auto* begin = static_cast<const std::byte*>(tensor.data);
  const auto* first = static_cast<const std::byte*>(room.data);
  return is_before(first, begin) && is_before(begin + bytes_of(tensor), first + bytes_of(room));
}

}  // namespace

class RowPlaces::Place final : public Memory {
 public:
  Place(Memory& memory, const Tensor& room) : memory_(memory), room_(room) {}

  const Tensor& room() const { return room_; }

  Stream stream() const override { return memory_.stream(); }
  Poison poison() const override { return memory_.poison(); }

  void* allocate(Count bytes) override {
    if (is_taken_ || bytes > bytes_of(room_)) return memory_.allocate(bytes);
    is_taken_ = true;
    return room_.data;
  }

  void release(void* data, Count bytes) noexcept override {
    if (data != room_.data) return memory_.release(data, bytes);
    is_taken_ = false;
  }

  void synchronize() override { memory_.synchronize(); }

 private:
  void do_copy(const void* from, void* to, Count bytes) override {
    memory_.copy(as_bytes(from, bytes, room_.device), as_bytes(to, bytes, room_.device));
  }
  void do_copy_from_host(const void* host, void* to, Count bytes) override {
    memory_.copy_from_host(as_bytes(host, bytes, {}), as_bytes(to, bytes, room_.device));
  }
  void do_copy_to_host(const void* from, void* host, Count bytes) override {
    memory_.copy_to_host(as_bytes(from, bytes, room_.device), as_bytes(host, bytes, {}));
  }
  void do_fill(void* data, std::uint32_t word, Count bytes) override {
    memory_.fill(as_bytes(data, bytes, room_.device), word);
  }
  void do_add_rows(std::span<const Tensor> operands, const Tensor& out) override {
    memory_.add_rows(operands, out);
  }

  Memory& memory_;
  Tensor room_;
  bool is_taken_ = false;
};

Count RowPlaces::block_bytes(const RowRoom& room, int num_ranks) {
  Count bytes = 0;
  for (const RowPlace& place : all_places) {
    const Count each = room_of(place, room, num_ranks);
    bytes += each + guards_max + (is_shared(place.rows) ? 0 : each);
  }
  return bytes;
}

RowPlaces::RowPlaces(Memory& memory, const Tensor& block, const RowRoom& room, int num_ranks)
    : memory_(memory), block_(block) {
  MOE_CHECK(bytes_of(block) >= block_bytes(room, num_ranks), "a block without room for its places");
  auto* next = static_cast<std::byte*>(block.data);
  const auto taken = [&](Count bytes) {
    return as_bytes(std::exchange(next, next + bytes), bytes, block.device);
  };
  for (const RowPlace& place : all_places) {
    const Count each = room_of(place, room, num_ranks);
    places_.push_back(std::make_unique<Place>(memory, taken(each + guards_max)));
    spares_.push_back(is_shared(place.rows) ? Tensor{} : taken(each));
  }
}

RowPlaces::~RowPlaces() = default;

std::optional<std::size_t> RowPlaces::number_of(RowPlace place) {
  const auto found = std::ranges::find_if(all_places, [&](const RowPlace& known) {
    return known.rows == place.rows && known.index == place.index;
  });
  if (found == all_places.end()) return std::nullopt;
  return static_cast<std::size_t>(found - all_places.begin());
}

Memory& RowPlaces::memory_for(RowPlace place) {
  const auto number = number_of(place);
  return number ? static_cast<Memory&>(*places_[*number]) : memory_;
}

bool RowPlaces::holds(const Tensor& tensor) const { return is_in(block_, tensor); }

bool RowPlaces::has_at(RowPlace place, const Tensor& tensor) const {
  const auto number = number_of(place);
  return number && is_in(places_[*number]->room(), tensor);
}

std::optional<Tensor> RowPlaces::spare(const Tensor& like, RowPlace place) const {
  const auto number = number_of(place);
  if (!number || bytes_of(like) > bytes_of(spares_[*number])) return std::nullopt;
  Tensor rows = like;
  rows.data = spares_[*number].data;
  return rows;
}

}  // namespace moe
