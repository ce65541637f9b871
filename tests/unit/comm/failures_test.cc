// The words that each wire has for a peer that is late, gone, or in another operation. That there
// is an error at all, and soon, is the conformance suite's.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <latch>

#include "comm/broken_pipe.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Clock = std::chrono::steady_clock;

// A patient world for cases in which no deadline may be what ends them.
constexpr milliseconds patient{60000};
constexpr milliseconds short_deadline{200};

void gather_one_row(Communicator& group) {
  const Buffer own = patterned(group, 0, {1, 4, DType::f32});
  const Buffer all(group.memory(), {group.size(), 4, DType::f32});
  group.all_gather_v(one(own.tensor()), Counts(static_cast<std::size_t>(group.size()), 1),
                     one(all.tensor()));
}

// The words of the error that a call ends with, "" if it does not.
template <typename Call>
std::string error_of(const Call& call) {
  return outcome_of<bool>([&] {
           call();
           return true;
         })
      .error;
}

}  // namespace

TEST_CASE("the words for a rank that does not come, of each wire") {
  const Wire wire = GENERATE(from_range(wires()));
  CAPTURE(name_of(wire));
  std::latch done(2);
  const auto outcomes = run_world({wire, 3, short_deadline}, [&](Communicator& group) {
    group.barrier();
    if (group.rank() == 2) {
      done.wait();
      return std::string();
    }
    const std::string first = error_of([&] { gather_one_row(group); });
    const Clock::time_point after = Clock::now();
    const std::string second = error_of([&] { group.barrier(); });
    const bool at_once = Clock::now() - after < short_deadline;
    done.count_down();
    return text(first, second == first && at_once ? "" : text(" then ", second));
  });
  const std::string local = "rank 2 did not reach operation 1 (all_gather_v) within 200 ms";
  for (int rank = 0; rank < 2; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    REQUIRE(outcome.error == "");
    if (wire == Wire::local) CHECK(*outcome.value == local);
    if (wire == Wire::gloo) {
      CHECK(
          contains(*outcome.value, text("rank ", rank, ": operation 1 (all_gather_v): peer rank")));
      CHECK(!contains(*outcome.value, " then "));
    }
  }
  if (wire == Wire::gloo) {
    const std::string late = "peer rank 2 did not answer within 200 ms";
    CHECK((contains(*outcomes[0].value, late) || contains(*outcomes[1].value, late)));
  }
}

TEST_CASE("the words for ranks in different operations") {
  const Wire wire = GENERATE(from_range(wires()));
  CAPTURE(name_of(wire));
  const auto outcomes = run_world({wire, 2, short_deadline}, [&](Communicator& group) {
    const Buffer large = patterned(group, 0, {64, 64, DType::f32});
    if (group.rank() == 0) {
      gather_one_row(group);
    } else {
      group.broadcast(one(large.tensor()), 1);
    }
    return true;
  });
  CHECK(outcomes[0].kind == "SystemError");
  if (wire == Wire::local) {
    CHECK(contains(outcomes[0].error,
                   "ranks are out of step: rank 0 is at operation 0 "
                   "(all_gather_v), rank 1 at operation 0 (broadcast)"));
    CHECK(outcomes[1].kind == "SystemError");
  }
}

TEST_CASE("a write to a closed connection is an error and no signal while QuietBrokenPipe lives") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  close(ends[1]);
  {
    const QuietBrokenPipe quiet;
    CHECK(write(ends[0], "x", 1) == -1);
    CHECK(errno == EPIPE);
  }
  sigset_t waiting;
  CHECK(sigpending(&waiting) == 0);
  CHECK(sigismember(&waiting, SIGPIPE) == 0);
  close(ends[0]);
}

TEST_CASE("Gloo: a rank that waits for a waiting rank names the one behind it") {
  if (gloo_maker.make == nullptr) return;  // the case below says why
  std::latch done(2);
  const auto outcomes = run_world({Wire::gloo, 3, short_deadline}, [&](Communicator& group) {
    const Buffer row = patterned(group, 0, {1, 4, DType::f32});
    if (group.rank() == 2) {
      done.wait();
      return std::string();
    }
    const std::string error =
        error_of([&] { group.recv(one(row.tensor()), group.rank() == 0 ? 2 : 0); });
    done.count_down();
    return error;
  });
  REQUIRE(outcomes[0].value);
  REQUIRE(outcomes[1].value);
  CHECK(*outcomes[0].value ==
        "rank 0: operation 0 (recv): peer rank 2 did not answer within 200 ms");
  CHECK(*outcomes[1].value ==
        "rank 1: operation 0 (recv): peer rank 0 gave up at operation 0 (recv): "
        "peer rank 2 did not answer within 200 ms");
}

TEST_CASE("Gloo: ranks that wait for each other in different operations say in which") {
  if (gloo_maker.make == nullptr) return;  // the case below says why
  const auto outcomes = run_world({Wire::gloo, 2, short_deadline}, [](Communicator& group) {
    if (group.rank() == 0) group.barrier();
    gather_one_row(group);
    return true;
  });
  CHECK(contains(outcomes[0].error, "rank 1 gave up at operation 0 (all_gather_v)"));
  CHECK(contains(outcomes[1].error, "rank 0 gave up at operation 0 (barrier)"));
}

TEST_CASE("Gloo: a rank that never comes to the meeting point is named") {
  if (gloo_maker.make == nullptr) {
    CHECK(contains(gloo_maker.absence, "-DMOE_GLOO=ON"));
    return;
  }
  // Long enough for the two that come, also on a busy machine.
  World world({Wire::gloo, 3, milliseconds(1000)});
  const auto outcomes = run_ranks(2, [&](int rank) {
    const Endpoint endpoint = world.endpoint(rank);
    return true;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "SystemError");
    CHECK(contains(outcome.error, "did not come to group 'world' within 1000 ms"));
  }
  CHECK(contains(outcomes[0].error, "rank 2"));
}

}  // namespace moe::test
