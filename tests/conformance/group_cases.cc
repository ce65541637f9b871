// split: which ranks form a group, in which order, and that groups do not disturb each other. Who
// belongs to a group is written out by hand.

#include <algorithm>

#include "tests/conformance/conformance.h"

namespace moe::test {
namespace {

// A group that must be there.
Communicator& there(const std::unique_ptr<Communicator>& group) {
  if (group == nullptr) throw ContractError("split gave a rank with a color no group");
  return *group;
}

// Every member's number in the world, as the members of a group see it.
std::vector<std::int32_t> members(Communicator& group, int world_rank) {
  const Buffer own = filled(group, std::vector<std::int32_t>{world_rank});
  const Buffer all(group.memory(), {group.size(), 1, DType::i32});
  group.all_gather_v(one(own.tensor()), Counts(static_cast<std::size_t>(group.size()), 1),
                     one(all.tensor()));
  return values_in<std::int32_t>(all);
}

// Groups by color, ordered by key, work beside each other and beside the world.
void by_color_and_key(const Subject& subject, Troubles& troubles) {
  for (int size = 2; size <= 8; ++size) {
    const auto outcomes = run_subject(subject, size, [](Communicator& world) {
      const int rank = world.rank();
      const auto group = world.split(rank % 2, -rank);
      std::vector<std::int32_t> seen;
      for (int turn = 0; turn < 3; ++turn) {
        seen = members(there(group), rank);
        world.barrier();
      }
      seen.push_back(group->rank());
      return seen;
    });
    for (int rank = 0; rank < size; ++rank) {
      std::vector<std::int32_t> expected;
      for (int other = size - 1; other >= 0; --other) {
        if (other % 2 == rank % 2) expected.push_back(other);
      }
      const auto own = std::ranges::find(expected, rank) - expected.begin();
      expected.push_back(static_cast<std::int32_t>(own));
      expect(troubles, outcomes, rank, expected);
    }
  }
}

void split_again(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(subject, 4, [](Communicator& world) {
    const int rank = world.rank();
    const auto most = world.split(rank == 2 ? -1 : 3, rank);
    if (most == nullptr) return std::vector<std::int32_t>{-1};
    const auto fewer = most->split(most->rank() == 0 ? 0 : 1, 0);
    std::vector<std::int32_t> seen = members(there(fewer), rank);
    for (const auto member : members(there(most), rank)) seen.push_back(member);
    return seen;
  });
  const std::vector<std::vector<std::int32_t>> expected = {
      {0, 0, 1, 3}, {1, 3, 0, 1, 3}, {-1}, {1, 3, 0, 1, 3}};
  for (int rank = 0; rank < 4; ++rank) {
    expect(troubles, outcomes, rank, expected[static_cast<std::size_t>(rank)]);
  }
}

void twice_the_same(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(subject, 2, [](Communicator& world) {
    const auto first = world.split(0, 0);
    const auto second = world.split(0, -world.rank());
    std::vector<std::int32_t> seen = members(there(second), world.rank());
    for (const auto member : members(there(first), world.rank())) seen.push_back(member);
    return seen;
  });
  expect_all(troubles, outcomes, {1, 0, 0, 1});
}

// A subgroup sums and exchanges its members' rows only.
void sums_in_groups(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(subject, 5, [](Communicator& world) {
    const auto split = world.split(world.rank() < 2 ? 0 : 1, world.rank());
    Communicator& group = there(split);
    const Buffer sum = filled(group, std::vector<std::int64_t>{Count{1} << world.rank()});
    group.all_reduce(sum.tensor(), ReduceOp::sum, sum.tensor());
    const Buffer row = filled(group, std::vector<std::int64_t>{world.rank()});
    const int peer = group.size() - 1;
    if (group.rank() == 0) group.send(one(row.tensor()), peer);
    if (group.rank() == peer) group.recv(one(row.tensor()), 0);
    return std::vector<std::int64_t>{values_in<std::int64_t>(sum)[0],
                                     values_in<std::int64_t>(row)[0]};
  });
  const std::vector<std::vector<std::int64_t>> expected = {
      {3, 0}, {3, 0}, {28, 2}, {28, 3}, {28, 2}};
  for (int rank = 0; rank < 5; ++rank) {
    expect(troubles, outcomes, rank, expected[static_cast<std::size_t>(rank)]);
  }
}

}  // namespace

std::vector<ConformanceCase> group_cases() {
  return {
      {"split: groups by color, ordered by key, beside each other and the world", by_color_and_key},
      {"split: a rank of no color has no group, groups are split again, one may be one rank",
       split_again},
      {"split: twice with the same color gives two groups that do not mix", twice_the_same},
      {"split: a group's sums and messages are its members' alone", sums_in_groups},
  };
}

}  // namespace moe::test
