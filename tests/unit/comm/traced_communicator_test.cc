// Traced ranks: agreement before anything moves, traffic as written out by hand, the last operation
// as a sentence. The comparison of records itself is agreement_test.cc.

#include "comm/traced_communicator.h"

#include "comm/group_agreement.h"

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

const StageNames stage_names = {"dispatch", "combine"};

void gather(Communicator& group, const Counts& rows, Count columns = 4) {
  const Count own = rows[static_cast<std::size_t>(group.rank())];
  const Buffer from = patterned(group, 0, {own, columns, DType::f32});
  const Buffer to(group.memory(), {total_rows(rows), columns, DType::f32});
  group.all_gather_v(one(from.tensor()), rows, one(to.tensor()));
}

void scatter(Communicator& group, const Counts& rows, Count columns = 4) {
  const Count own = rows[static_cast<std::size_t>(group.rank())];
  const Buffer from(group.memory(), {total_rows(rows), columns, DType::bf16});
  const Buffer to(group.memory(), {own, columns, DType::bf16});
  group.memory().fill(from.tensor(), 0);
  group.reduce_scatter_v(from.tensor(), rows, to.tensor());
}

// Runs program(traced) on every rank; checked unless said otherwise.
template <typename Program>
auto run_traced(WorldSettings settings, const Program& program,
                Agreement agreement = Agreement::checked) {
  return run_owned(settings, [&](std::unique_ptr<Communicator> inner) {
    TracedCommunicator traced(std::move(inner), agreement, stage_names);
    return program(traced);
  });
}

}  // namespace

TEST_CASE("traced: ranks in different operations all throw the same SEQ") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_traced({wire, 4}, [](TracedCommunicator& group) {
    group.enter({3, 0, 0});
    gather(group, {1, 2, 0, 1});
    if (group.rank() != 1) {
      gather(group, {1, 2, 0, 1});
    } else {
      group.enter({3, 0, 1});
      scatter(group, {1, 2, 0, 1});
    }
    return true;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "SEQ");
    CHECK(outcome.error ==
          "rank 1 is at operation 1 (reduce_scatter_v, step 3 layer 0 combine) while ranks 0, 2, 3 "
          "are at operation 1 (all_gather_v, step 3 layer 0 dispatch)");
  }
}

TEST_CASE("traced: counts that differ are a COUNT on every rank, before a row moves") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_traced({wire, 3}, [](TracedCommunicator& group) {
    gather(group, group.rank() == 2 ? Counts{5, 7, 9} : Counts{5, 7, 1});
    return true;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "COUNT");
    CHECK(outcome.error ==
          "operation 0 (all_gather_v): rank 2 says rows_per_rank [5, 7, 9], ranks 0, 1 say [5, 7, "
          "1]");
  }
  const auto pairs = run_traced({wire, 2}, [](TracedCommunicator& group) {
    const Counts to = group.rank() == 0 ? Counts{1, 3} : Counts{0, 2};
    const Counts from = group.rank() == 0 ? Counts{1, 0} : Counts{4, 2};
    const Buffer sent(group.memory(), {total_rows(to), 2, DType::f32});
    const Buffer received(group.memory(), {total_rows(from), 2, DType::f32});
    group.all_to_all_v(one(sent.tensor()), to, from, one(received.tensor()));
    return true;
  });
  for (const auto& outcome : pairs) {
    CHECK(outcome.kind == "COUNT");
    CHECK(contains(outcome.error, "rank 0 sends 3 rows to rank 1, rank 1 expects 4"));
  }
}

TEST_CASE("traced: a rank that finished early is named, one that finishes with all is not") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto early = run_traced({wire, 3}, [](TracedCommunicator& group) {
    group.barrier();
    if (group.rank() == 1) {
      group.finish();
    } else {
      group.barrier();
    }
    return true;
  });
  for (const auto& outcome : early) {
    CHECK(outcome.kind == "SEQ");
    CHECK(outcome.error == "rank 1 has finished while ranks 0, 2 are at operation 1 (barrier)");
  }
  const auto together = run_traced({wire, 3}, [](TracedCommunicator& group) {
    group.barrier();
    group.finish();
    return group.last_operation();
  });
  for (const auto& outcome : together) CHECK(outcome.value == "finished after 1 collectives");
  const auto after = run_traced({wire, 1}, [](TracedCommunicator& group) {
    group.finish();
    group.barrier();
    return true;
  });
  CHECK(after[0].kind == "ContractError");
}

TEST_CASE("traced: a rank that does not come is named with the operation that waits") {
  const auto outcomes = run_traced({Wire::local, 2}, [](TracedCommunicator& group) {
    group.enter({1, 2, 0});
    group.barrier();
    if (group.rank() == 1) return true;
    gather(group, {1, 1});
    return true;
  });
  CHECK(outcomes[0].kind == "SystemError");
  CHECK(
      contains(outcomes[0].error, "before operation 1 (all_gather_v, step 1 layer 2 dispatch): "));
  CHECK(contains(outcomes[0].error, "rank 1 left the group"));
}

TEST_CASE("traced: what leaves a rank, by hand") {
  const Wire wire = GENERATE(from_range(wires()));
  const Agreement agreement = GENERATE(Agreement::checked, Agreement::trusted);
  const auto program = [](TracedCommunicator& group) {
    std::vector<Count> seen;
    const auto note = [&] {
      seen.push_back(group.traffic().rows);
      seen.push_back(group.traffic().bytes);
      seen.push_back(group.traffic().collectives);
    };
    const int rank = group.rank();
    gather(group, {2, 0, 5});
    note();
    scatter(group, {2, 0, 5}, 3);
    note();
    const Buffer ten(group.memory(), {5, 2, DType::f32});
    group.memory().fill(ten.tensor(), 0);
    group.all_reduce(ten.tensor(), ReduceOp::sum, ten.tensor());
    note();
    group.broadcast(one(ten.tensor()), 1);
    note();
    const Buffer byte(group.memory(), {1, 1, DType::u8});
    if (rank == 0) group.send(one(byte.tensor()), 2);
    if (rank == 2) group.recv(one(byte.tensor()), 0);
    group.barrier();
    note();
    return seen;
  };
  const auto outcomes = run_traced({wire, 3}, program, agreement);
  // Rows, bytes, collectives after each step. all_gather_v of 16-byte rows: own x 2.
  // reduce_scatter_v of 6-byte rows: 7 - own. all_reduce of 10 floats as 4 + 3 + 3: (10 - part + 2
  // part) floats, half as many rows. broadcast of 5 rows of 8 bytes from rank 1. One byte from rank
  // 0.
  const std::vector<std::vector<Count>> expected = {
      {4, 64, 1, 9, 94, 2, 16, 150, 3, 16, 150, 4, 17, 151, 5},
      {0, 0, 1, 7, 42, 2, 13, 94, 3, 23, 174, 4, 23, 174, 5},
      {10, 160, 1, 12, 172, 2, 18, 224, 3, 18, 224, 4, 18, 224, 5}};
  for (std::size_t rank = 0; rank < 3; ++rank) {
    REQUIRE(outcomes[rank].error == "");
    CHECK(*outcomes[rank].value == expected[rank]);
  }
}

TEST_CASE("traced: all_to_all_v counts rows to others with all tensors of the list") {
  const auto outcomes = run_traced({Wire::local, 2}, [](TracedCommunicator& group) {
    const Counts to = group.rank() == 0 ? Counts{4, 3} : Counts{0, 9};
    const Counts from = group.rank() == 0 ? Counts{4, 0} : Counts{3, 9};
    const Buffer rows(group.memory(), {total_rows(to), 5, DType::bf16});
    const Buffer ids(group.memory(), {total_rows(to), 1, DType::i32});
    const Buffer rows_in(group.memory(), {total_rows(from), 5, DType::bf16});
    const Buffer ids_in(group.memory(), {total_rows(from), 1, DType::i32});
    const Tensor sent[] = {rows.tensor(), ids.tensor()};
    const Tensor received[] = {rows_in.tensor(), ids_in.tensor()};
    group.all_to_all_v(sent, to, from, received);
    return Counts{group.traffic().rows, group.traffic().bytes};
  });
  CHECK(outcomes[0].value == Counts{3, 3 * 14});
  CHECK(outcomes[1].value == Counts{0, 0});
}

TEST_CASE("traced: the last operation as a sentence, and a split group that agrees by itself") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_traced({wire, 3}, [](TracedCommunicator& world) {
    std::vector<std::string> said = {world.last_operation()};
    world.enter({0, 4, 1});
    world.barrier();
    said.push_back(world.last_operation());
    const auto group = world.split(world.rank() == 2 ? -1 : 0, 0);
    said.push_back(world.last_operation());
    if (group == nullptr) return said;
    said.push_back(outcome_of<bool>([&] {
                     gather(*group, group->rank() == 0 ? Counts{1, 1} : Counts{2, 1});
                     return true;
                   }).error);
    return said;
  });
  const std::vector<std::string> expected = {
      "no operation yet", "operation 0 (barrier, step 0 layer 4 combine)",
      "operation 1 (split, step 0 layer 4 combine)",
      "operation 0 (all_gather_v, step 0 layer 4 combine): rank 0 says rows_per_rank [1, 1], "
      "rank 1 says [2, 1]"};
  REQUIRE(outcomes[0].value);
  CHECK(*outcomes[0].value == expected);
  REQUIRE(outcomes[2].value);
  CHECK(outcomes[2].value->size() == 3);
}

TEST_CASE("traced: a group with words says its name and the world's numbers, and shares the log") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_traced({wire, 4}, [](TracedCommunicator& world) {
    const int column = world.rank() % 2;
    const auto group =
        world.split_as({column == 0 ? "dp [0, 2]" : "dp [1, 3]", {column, column + 2}}, column, 0);
    world.enter({1, 0, 0});
    gather(*group, {1, 2});
    std::vector<std::string> said = {world.last_operation(), text(world.traffic().rows)};
    said.push_back(outcome_of<bool>([&] {
                     gather(*group, world.rank() == 3 ? Counts{3, 2} : Counts{1, 2});
                     return true;
                   }).error);
    return said;
  });
  REQUIRE(outcomes[3].value);
  CHECK(*outcomes[3].value ==
        std::vector<std::string>{
            "operation 0 of group dp [1, 3] (all_gather_v, step 1 layer 0 dispatch)", "2",
            "operation 1 of group dp [1, 3] (all_gather_v, step 1 layer 0 dispatch): rank 1 says "
            "rows_per_rank [1, 2], rank 3 says [3, 2]"});
  REQUIRE(outcomes[0].value);
  CHECK(outcomes[0].value->at(2) == "");  // the other column works on
}

TEST_CASE("agree_on: ranks that say the same are silent, one that does not is named (GROUP)") {
  const auto said = [](int size, int odd_rank, Agreement agreement) {
    return run_owned({.size = size}, [=](std::unique_ptr<Communicator> wire) {
      TracedCommunicator group(std::move(wire), agreement);
      Counts tokens = {5, 3, 2};
      if (group.rank() == odd_rank) tokens[1] = 4;
      group.agree_on("token counts", tokens);
      return group.traffic().collectives;
    });
  };
  for (const auto& outcome : said(3, -1, Agreement::checked)) CHECK(outcome.value == Count{0});
  for (const auto& outcome : said(3, 1, Agreement::checked)) {
    CHECK(outcome.kind == "GROUP");
    CHECK(outcome.error ==
          "token counts of the world: rank 1 says [5, 4, 2], ranks 0, 2 say [5, 3, 2]");
  }
  for (const auto& outcome : said(3, 1, Agreement::trusted)) CHECK(outcome.value == Count{0});
}

TEST_CASE("agree_on: long lists differ by their digest, however far back") {
  const auto outcomes = run_owned({.size = 2}, [](std::unique_ptr<Communicator> wire) {
    TracedCommunicator group(std::move(wire), Agreement::checked);
    Counts tokens(40, 7);
    tokens.back() += group.rank();
    group.agree_on("token counts", tokens);
    return 0;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "GROUP");
    CHECK(contains(outcome.error, "7, …]"));
  }
}

TEST_CASE("group statements: a rank with another number than its place in the group is named") {
  const auto width = static_cast<std::size_t>(words_per_statement());
  const Counts members = {1, 3};
  Counts all(2 * width);
  put_statement(0, members, std::span(all).first(width));
  put_statement(1, members, std::span(all).subspan(width));
  const GroupWords dp{"dp [1, 3]", {1, 3}};
  CHECK(!group_disagreement("members", all, dp));
  put_statement(3, members, std::span(all).subspan(width));
  CHECK(group_disagreement("members", all, dp) ==
        "group dp [1, 3]: rank 3 takes itself for number 3, the group has it as number 1");
}

}  // namespace moe::test
