// Rows at the places that a communicator has for them move as rows from anywhere do: all of them
// there, some of them, even counts and uneven ones, one call behind the other while nobody waits.

#include <algorithm>

#include "tests/conformance/conformance.h"

namespace moe::test {
namespace {

using Group = std::unique_ptr<Communicator>;

// Which of a call's tensors lie at their places.
struct Placed {
  bool in = false;
  bool out = false;
};
constexpr std::array all_placed = {Placed{true, true}, Placed{false, true}, Placed{true, false},
                                   Placed{false, false}};

constexpr std::array<Shape, 4> list = {Shape{0, 48, DType::bf16}, Shape{0, 3, DType::f32},
                                       Shape{0, 3, DType::i32}, Shape{0, 1, DType::i64}};
constexpr Count sum_columns = 40;

// A few rows, or at two ranks so many that both calls move more than 768 KiB of a rank: sizes that
// ways for small ones and ways for large ones are made for.
constexpr int many_at_turn = 3;
constexpr Count many_rows = 6200;

Counts counts_of(bool is_even, int turn, int size) {
  const Count more = turn == many_at_turn && size <= 2 ? many_rows : 0;
  Counts counts;
  for (int rank = 0; rank < size; ++rank) {
    counts.push_back(more + (is_even ? 1 + turn % 5 : (rank * 3 + turn) % 4));
  }
  return counts;
}

// Whole numbers, so that sums are exact in every order.
float part_of(int rank, int turn, Count element) {
  return static_cast<float>(mix(turn, rank, element) % 128);
}

// What a turn's calls leave on a rank: the gathered list and the sums.
std::vector<Bytes> moved(Communicator& group, Placed placed, bool is_even, int turn) {
  const Counts rows = counts_of(is_even, turn, group.size());
  const Count own = rows[static_cast<std::size_t>(group.rank())];
  const auto memory = [&](bool is_placed, RowPlace place) -> Memory& {
    return is_placed ? group.memory_for(place) : group.memory();
  };
  std::vector<Buffer> from;
  std::vector<Buffer> to;
  std::vector<Tensor> sent;
  std::vector<Tensor> gathered;
  for (int i = 0; i < std::ssize(list); ++i) {
    const auto [unset, columns, dtype] = list[static_cast<std::size_t>(i)];
    Bytes bytes = pattern(group.rank(), 10 * turn + i, own * columns * size_of(dtype));
    from.push_back(copy_of({bytes.data(), own, columns, dtype, {}},
                           memory(placed.in, {RowsAre::to_gather, i})));
    to.emplace_back(memory(placed.out, {RowsAre::gathered, i}),
                    Shape{total_rows(rows), columns, dtype});
    sent.push_back(from.back().tensor());
    gathered.push_back(to.back().tensor());
  }
  std::vector<float> parts;
  for (Count i = 0; i < total_rows(rows) * sum_columns; ++i) {
    parts.push_back(part_of(group.rank(), turn, i));
  }
  const Buffer partial = copy_of({parts.data(), total_rows(rows), sum_columns, DType::f32, {}},
                                 memory(placed.in, {RowsAre::to_scatter}));
  const Buffer sum(memory(placed.out, {RowsAre::scattered}), {own, sum_columns, DType::f32});
  group.all_gather_v(sent, rows, gathered);
  group.reduce_scatter_v(partial.tensor(), rows, sum.tensor());
  std::vector<Bytes> all;
  for (const Buffer& buffer : to) all.push_back(bytes_on(group, buffer));
  all.push_back(bytes_on(group, sum));
  const bool intact = sum.guards_intact() && std::ranges::all_of(to, &Buffer::guards_intact) &&
                      std::ranges::all_of(from, &Buffer::guards_intact);
  all.push_back({static_cast<std::uint8_t>(intact)});
  return all;
}

std::vector<Bytes> expected_on(int rank, bool is_even, int turn, int size) {
  const Counts rows = counts_of(is_even, turn, size);
  std::vector<Bytes> all(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    for (int from = 0; from < size; ++from) {
      const Count bytes =
          rows[static_cast<std::size_t>(from)] * list[i].columns * size_of(list[i].dtype);
      const Bytes part = pattern(from, 10 * turn + static_cast<int>(i), bytes);
      all[i].insert(all[i].end(), part.begin(), part.end());
    }
  }
  const Count begin = rows_before(rows, rank) * sum_columns;
  std::vector<float> sums;
  for (Count i = 0; i < rows[static_cast<std::size_t>(rank)] * sum_columns; ++i) {
    float sum = 0;
    for (int from = 0; from < size; ++from) sum += part_of(from, turn, begin + i);
    sums.push_back(sum);
  }
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(sums.data());
  all.emplace_back(bytes, bytes + sums.size() * sizeof(float));
  all.push_back({1});
  return all;
}

// What went astray on a rank in one turn.
Troubles astray(Communicator& group, int turn) {
  Troubles seen;
  for (const Placed placed : all_placed) {
    for (const bool is_even : {true, false}) {
      const std::vector<Bytes> due = expected_on(group.rank(), is_even, turn, group.size());
      if (moved(group, placed, is_even, turn) == due) continue;
      seen.push_back(text("turn ", turn, is_even ? ", even" : ", uneven",
                          placed.in ? ", placed" : "", " to ",
                          placed.out ? "placed" : "elsewhere"));
    }
  }
  return seen;
}

void places_change_nothing(const Subject& subject, Troubles& troubles) {
  constexpr int turns = 6;
  for (const int size : {1, 2, 4, 8}) {
    const auto outcomes = run_undressed(subject, size, [&](Group& group) {
      Troubles seen;
      for (int turn = 0; turn < turns; ++turn) {
        for (const std::string& one : astray(*group, turn)) seen.push_back(one);
      }
      return seen;
    });
    expect_all(troubles, outcomes, {}, text(size, " ranks"));
  }
}

// GPUs of one machine have windows, and rows have places there: or the cases below see none.
void places_are_there(const Subject& subject, Troubles& troubles) {
  if (!subject.maker.one_device_each) return;  // ranks that share a device move rows from anywhere
  const auto outcomes = run_undressed(subject, 2, [](Group& group) {
    return &group->memory_for({RowsAre::gathered}) != &group->memory() &&
           &group->memory_for({RowsAre::to_scatter}) != &group->memory();
  });
  expect_all(troubles, outcomes, true, "places in a window");
}

// Ranks that each come late between calls, which nobody awaits: a rank's place is written again
// while its peers may still be in the call before. Of each call one row of each rank is kept.
void places_used_again(const Subject& subject, Troubles& troubles) {
  constexpr int turns = 60;
  constexpr Count rows_each = 16;
  constexpr Count columns = 2048;  // 128 KiB of a rank
  for (const int size : {2, 4, 8}) {
    const auto outcomes = run_undressed(subject, size, [&](Group& group) {
      const Counts rows(static_cast<std::size_t>(size), rows_each);
      Memory& memory = group->memory();
      const Buffer kept(memory, {turns * size, columns, DType::i32});
      for (int turn = 0; turn < turns; ++turn) {
        const Buffer own(group->memory_for({RowsAre::to_gather}), {rows_each, columns, DType::i32});
        const Buffer to(group->memory_for({RowsAre::gathered}),
                        {size * rows_each, columns, DType::i32});
        memory.fill(own.tensor(), static_cast<std::uint32_t>(1000 * turn + group->rank()));
        const auto late = static_cast<int>(mix(turn, group->rank()) % 100);
        std::this_thread::sleep_for(std::chrono::microseconds(late));
        group->all_gather_v(one(own.tensor()), rows, one(to.tensor()));
        for (int rank = 0; rank < size; ++rank) {
          memory.copy(rows_of(to.tensor(), rank * rows_each + turn % rows_each, 1),
                      rows_of(kept.tensor(), turn * size + rank, 1));
        }
      }
      return bytes_on(*group, kept);
    });
    std::vector<std::int32_t> words;
    for (int turn = 0; turn < turns; ++turn) {
      for (int rank = 0; rank < size; ++rank) {
        words.insert(words.end(), columns, 1000 * turn + rank);
      }
    }
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(words.data());
    expect_all(troubles, outcomes, Bytes(bytes, bytes + words.size() * sizeof(std::int32_t)));
  }
}

}  // namespace

std::vector<ConformanceCase> place_cases() {
  return {
      {"places: they are there where peers reach each other's memory", places_are_there, false,
       true},
      {"places: rows that lie there move as rows from anywhere", places_change_nothing},
      {"places: the next call's rows disturb none of the last", places_used_again},
  };
}

}  // namespace moe::test
