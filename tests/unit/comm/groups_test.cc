// split: which ranks form a group, in which order, and that groups do not disturb each other.
// Local and Gloo ranks alike.

#include "comm/split.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

// Every member's number in the world, as the members of a group see it.
std::vector<std::int32_t> members(Communicator& group, int world_rank) {
  const Buffer own = filled(group, std::vector<std::int32_t>{world_rank});
  const Buffer all(group.memory(), {group.size(), 1, DType::i32});
  group.all_gather_v(one(own.tensor()), Counts(static_cast<std::size_t>(group.size()), 1),
                     one(all.tensor()));
  return values_in<std::int32_t>(all);
}

}  // namespace

TEST_CASE("ranks_of_color: by key, then by rank") {
  const std::vector<SplitChoice> choices = {{0, 5}, {1, 0}, {0, 1}, {-1, 0}, {0, 1}};
  CHECK(ranks_of_color(choices, 0) == std::vector<int>{2, 4, 0});
  CHECK(ranks_of_color(choices, 1) == std::vector<int>{1});
  CHECK(ranks_of_color(choices, 7).empty());
}

TEST_CASE("split: groups by color, ordered by key, work beside each other and beside the world") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(2, 4, 7);
  CAPTURE(name_of(wire), size);
  const auto outcomes = run_world({wire, size}, [](Communicator& world) {
    const int rank = world.rank();
    const auto group = world.split(rank % 2, -rank);
    std::vector<std::int32_t> seen;
    for (int turn = 0; turn < 3; ++turn) {
      seen = members(*group, rank);
      world.barrier();
    }
    seen.push_back(group->rank());
    return seen;
  });
  for (int rank = 0; rank < size; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    REQUIRE(outcome.error == "");
    std::vector<std::int32_t> expected;
    for (int other = size - 1; other >= 0; --other) {
      if (other % 2 == rank % 2) expected.push_back(other);
    }
    const auto own = std::ranges::find(expected, rank) - expected.begin();
    expected.push_back(static_cast<std::int32_t>(own));
    CHECK(*outcome.value == expected);
  }
}

TEST_CASE(
    "split: a rank of no color gets no group, groups are split again, a group may be one rank") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_world({wire, 4}, [](Communicator& world) {
    const int rank = world.rank();
    const auto most = world.split(rank == 2 ? -1 : 3, rank);
    if (most == nullptr) return std::vector<std::int32_t>{-1};
    const auto fewer = most->split(most->rank() == 0 ? 0 : 1, 0);
    std::vector<std::int32_t> seen = members(*fewer, rank);
    for (const auto member : members(*most, rank)) seen.push_back(member);
    return seen;
  });
  const std::vector<std::vector<std::int32_t>> expected = {
      {0, 0, 1, 3}, {1, 3, 0, 1, 3}, {-1}, {1, 3, 0, 1, 3}};
  for (std::size_t rank = 0; rank < 4; ++rank) {
    REQUIRE(outcomes[rank].error == "");
    CHECK(*outcomes[rank].value == expected[rank]);
  }
}

TEST_CASE("split: twice with the same color gives two groups that do not mix") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_world({wire, 2}, [](Communicator& world) {
    const auto first = world.split(0, 0);
    const auto second = world.split(0, -world.rank());
    std::vector<std::int32_t> seen = members(*second, world.rank());
    for (const auto member : members(*first, world.rank())) seen.push_back(member);
    return seen;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == std::vector<std::int32_t>{1, 0, 0, 1});
  }
}

}  // namespace moe::test
