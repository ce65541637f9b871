// Who is in which group after a split: the pure function behind every communicator's split. That
// the groups work is the conformance suite's.

#include "comm/split.h"
#include "tests/catch.h"

namespace moe {

TEST_CASE("ranks_of_color: by key, then by rank") {
  const std::vector<SplitChoice> choices = {{0, 5}, {1, 0}, {0, 1}, {-1, 0}, {0, 1}};
  CHECK(ranks_of_color(choices, 0) == std::vector<int>{2, 4, 0});
  CHECK(ranks_of_color(choices, 1) == std::vector<int>{1});
  CHECK(ranks_of_color(choices, 7).empty());
}

}  // namespace moe
