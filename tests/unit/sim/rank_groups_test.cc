// A rank's groups: which of them ends first. NCCL's groups read from the world that they are split
// from, also where the making of another one has failed.

#include "sim/rank_groups.h"

#include "comm/forwarding_communicator.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Words = std::vector<std::string>;

// Writes down when it ends, and when those end that are split from it. The world's splits end after
// splits_max with an error.
class Mortal final : public ForwardingCommunicator {
 public:
  Mortal(std::unique_ptr<Communicator> inner, std::string name, Words& ends, int splits_max)
      : ForwardingCommunicator(std::move(inner)),
        name_(std::move(name)),
        ends_(ends),
        splits_left_(splits_max) {}
  Mortal(const Mortal&) = delete;
  Mortal& operator=(const Mortal&) = delete;
  ~Mortal() override { ends_.push_back(name_); }

 private:
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    if (splits_left_-- == 0) throw SystemError("no more splits");
    return std::make_unique<Mortal>(inner().split(color, key), "split", ends_, 0);
  }

  std::string name_;
  Words& ends_;
  int splits_left_;
};

// How the groups of a rank end in a world of two times two ranks, and its error.
Outcome<Words> ends_with(int splits_max) {
  const auto outcomes = run_owned({.size = 4}, [splits_max](std::unique_ptr<Communicator> wire) {
    Words ends;
    auto world = std::make_unique<Mortal>(std::move(wire), "world", ends, splits_max);
    try {
      sim::RankGroups groups({std::move(world), nullptr}, {.dp = 2, .tp = 2}, {});
    } catch (const SystemError& error) {
      ends.push_back(error.what());
    }
    return ends;
  });
  return outcomes.front();
}

}  // namespace

TEST_CASE("rank groups: what is split from the world ends before it") {
  const Outcome<Words> whole = ends_with(100);
  CHECK(whole.error == "");
  REQUIRE(whole.value.has_value());
  CHECK(*whole.value == Words{"split", "split", "split", "world"});
}

TEST_CASE("rank groups: so it does where a later split fails") {
  const Outcome<Words> cut = ends_with(2);
  CHECK(cut.error == "");
  REQUIRE(cut.value.has_value());
  CHECK(*cut.value == Words{"split", "split", "world", "no more splits"});
}

}  // namespace moe::test
