// Communicators that lie, and that the checks above them see it: swapped counts are a COUNT, a
// stall is named, a late rank within the deadline changes nothing.

#include "comm/faulty_communicator.h"

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

Bytes gathered(Communicator& group, const Counts& rows) {
  const Count own = rows[static_cast<std::size_t>(group.rank())];
  const Buffer from = patterned(group, 0, {own, 4, DType::f32});
  const Buffer to(group.memory(), {total_rows(rows), 4, DType::f32});
  group.all_gather_v(one(from.tensor()), rows, one(to.tensor()));
  return bytes_in(to);
}

Bytes expected_bytes(const Counts& rows) {
  Bytes all;
  for (std::size_t rank = 0; rank < rows.size(); ++rank) {
    const Bytes part = pattern(static_cast<int>(rank), 0, rows[rank] * 16);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::unique_ptr<Communicator> traced(std::unique_ptr<Communicator> inner, Agreement agreement) {
  return std::make_unique<TracedCommunicator>(std::move(inner), agreement);
}

}  // namespace

TEST_CASE("swapped counts: the agreement sees them, whichever rank lies") {
  const Wire wire = GENERATE(from_range(wires()));
  const int liar = GENERATE(0, 1, 2);
  CAPTURE(name_of(wire), liar);
  const auto outcomes = run_owned({wire, 3}, [&](std::unique_ptr<Communicator> inner) {
    const auto group =
        with_swapped_counts(traced(std::move(inner), Agreement::checked), {liar, 0, 1});
    return gathered(*group, {2, 2, 3}) == expected_bytes({2, 2, 3}) &&
           gathered(*group, {5, 7, 1}).empty();
  });
  std::vector<int> others = {0, 1, 2};
  std::erase(others, liar);
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "COUNT");
    CHECK(outcome.error == text("operation 1 (all_gather_v): rank ", liar,
                                " says rows_per_rank [7, 5, 1], ranks ", others[0], ", ", others[1],
                                " say [5, 7, 1]"));
  }
}

TEST_CASE("swapped counts: without agreement the wire itself refuses") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_owned({wire, 2, milliseconds(200)}, [](std::unique_ptr<Communicator>
                                                                       inner) {
    const auto group = with_swapped_counts(traced(std::move(inner), Agreement::trusted), {1, 0, 1});
    return gathered(*group, {5, 7});
  });
  for (const auto& outcome : outcomes) CHECK(outcome.kind == "SystemError");
}

TEST_CASE("a failure, a stall and a delay happen where they are told to") {
  const Wire wire = GENERATE(from_range(wires()));
  CAPTURE(name_of(wire));
  const Counts rows = {1, 2};
  const auto failing = run_owned({wire, 2}, [&](std::unique_ptr<Communicator> inner) {
    const auto group = with_failure(std::move(inner), {1, 1});
    gathered(*group, rows);
    return gathered(*group, rows);
  });
  CHECK(failing[1].error == "seeded fault: rank 1 fails at operation 1");
  CHECK(failing[0].kind == "SystemError");

  const auto late = run_owned({wire, 2}, [&](std::unique_ptr<Communicator> inner) {
    const auto group = with_delay(std::move(inner), {1, 0}, milliseconds(30));
    return gathered(*group, rows);
  });
  for (const auto& outcome : late) CHECK(outcome.value == expected_bytes(rows));

  std::stop_source stop;
  const auto stalled =
      run_owned({wire, 2, milliseconds(200)}, [&](std::unique_ptr<Communicator> in) {
        const auto group = with_stall(std::move(in), {1, 0}, milliseconds(60000), stop.get_token());
        try {
          return gathered(*group, rows);
        } catch (const SystemError&) {
          stop.request_stop();
          throw;
        }
      });
  CHECK(contains(stalled[0].error, "rank 1 did not"));
  CHECK(stalled[1].error == "seeded fault: rank 1 stalled at operation 0");
}

TEST_CASE("faults name ranks of the group") {
  const auto memory = make_host_memory(Poison::on);
  LocalGroup group(2, milliseconds(100));
  CHECK_THROWS_AS(with_swapped_counts(group.communicator(0, *memory), {0, 0, 2}), ContractError);
}

}  // namespace moe::test
