// How records are compared and what the sentences say; no rank talks to another here.
// The sentences are part of the deadlock report, so they are compared whole.

#include "comm/agreement.h"

#include "tests/catch.h"

namespace moe::test {
namespace {

const StageNames stage_names = {"dispatch", "combine"};

OperationRecord gather_record(std::vector<Count> rows, int stage = 0) {
  return {.number = 6,
          .operation = Operation::all_gather_v,
          .place = {3, 0, stage},
          .num_tensors = 2,
          .dtype = 2,
          .row_bytes = 40,
          .rows_per_rank = std::move(rows),
          .rows_from = {}};
}

}  // namespace

TEST_CASE("agreement: a record goes into its words and comes back, whatever the operation") {
  OperationRecord record = gather_record({1, 2, 3});
  record.rows_from = {4, 5, 6};
  record.root = 2;
  record.reduce_op = 1;
  record.bytes = 77;
  std::vector<Count> words(static_cast<std::size_t>(words_per_record(3)), -1);
  put_record(record, words);
  const OperationRecord back = record_of(words);
  CHECK((back.number == 6 && back.operation == Operation::all_gather_v && back.root == 2));
  CHECK(back.place == record.place);
  CHECK((back.num_tensors == 2 && back.dtype == 2 && back.reduce_op == 1 && back.row_bytes == 40));
  CHECK((back.rows_per_rank == record.rows_per_rank && back.rows_from == record.rows_from));
  CHECK(back.bytes == 77);
}

TEST_CASE("agreement: equal records agree") {
  const std::vector<OperationRecord> records(4, gather_record({5, 7, 0, 1}));
  CHECK_FALSE(disagreement_of(records, stage_names));
}

TEST_CASE("agreement: SEQ names ranks, operations and places") {
  std::vector<OperationRecord> records(4, gather_record({5, 7, 0, 1}));
  records[1].operation = Operation::reduce_scatter_v;
  records[1].place.stage = 1;
  const auto found = disagreement_of(records, stage_names);
  REQUIRE(found);
  CHECK(found->check == "SEQ");
  CHECK(
      found->message ==
      "rank 1 is at operation 6 (reduce_scatter_v, step 3 layer 0 combine) while ranks 0, 2, 3 are "
      "at operation 6 (all_gather_v, step 3 layer 0 dispatch)");
}

TEST_CASE("agreement: SEQ without stage names, places that differ alone, roots, finished ranks") {
  std::vector<OperationRecord> records(2, gather_record({5, 7}));
  records[1].place = {4, 0, 0};
  CHECK(disagreement_of(records, {})->message ==
        "rank 0 is at operation 6 (all_gather_v, step 3 layer 0 stage 0) while rank 1 is at "
        "operation 6 (all_gather_v, step 4 layer 0 stage 0)");

  records.assign(3, {.number = 2, .operation = Operation::broadcast, .root = 0});
  records[2].root = 1;
  CHECK(disagreement_of(records, {})->message ==
        "rank 2 is at operation 2 (broadcast) with root 1 while ranks 0, 1 are at operation 2 "
        "(broadcast) with root 0");

  records.assign(3, {.number = 2, .operation = Operation::barrier});
  records[0].operation = Operation::finished;
  CHECK(disagreement_of(records, {})->message ==
        "rank 0 has finished while ranks 1, 2 are at operation 2 (barrier)");
  records[1].operation = Operation::finished;
  CHECK(disagreement_of(records, {})->message ==
        "rank 2 is at operation 2 (barrier) while ranks 0, 1 have finished");
}

TEST_CASE("agreement: COUNT says which rank claims which rows") {
  std::vector<OperationRecord> records(4, gather_record({5, 7, 0, 0}));
  records[1].rows_per_rank = {7, 5, 0, 0};
  const auto found = disagreement_of(records, stage_names);
  REQUIRE(found);
  CHECK(found->check == "COUNT");
  CHECK(
      found->message ==
      "operation 6 (all_gather_v, step 3 layer 0 dispatch): rank 1 says rows_per_rank [7, 5, 0, 0],"
      " ranks 0, 2, 3 say [5, 7, 0, 0]");
}

TEST_CASE("agreement: COUNT of lists, widths and types that differ") {
  std::vector<OperationRecord> records(3, gather_record({5, 7, 0}));
  records[2].row_bytes = 44;
  CHECK(
      disagreement_of(records, stage_names)->message ==
      "operation 6 (all_gather_v, step 3 layer 0 dispatch): rank 2 says 2 bf16 tensors of 44 bytes "
      "a row, ranks 0, 1 say 2 bf16 tensors of 40 bytes a row");
  records[2] = records[0];
  records[0].dtype = 3;
  CHECK(disagreement_of(records, stage_names)->check == "COUNT");
  records[0] = records[2];
  records[1].num_tensors = 1;
  CHECK(disagreement_of(records, stage_names)->check == "COUNT");

  records.assign(2, {.number = 1,
                     .operation = Operation::all_reduce,
                     .num_tensors = 1,
                     .dtype = 1,
                     .reduce_op = 0,
                     .row_bytes = 8,
                     .rows_per_rank = {3},
                     .rows_from = {}});
  records[1].rows_per_rank = {4};
  CHECK(disagreement_of(records, {})->message ==
        "operation 1 (all_reduce): rank 0 says rows [3], rank 1 says [4]");
  records[1] = records[0];
  records[1].reduce_op = 1;
  CHECK(
      disagreement_of(records, {})->message ==
      "operation 1 (all_reduce): rank 0 says 1 f32 tensor of 8 bytes a row, reduced by sum, rank 1 "
      "says 1 f32 tensor of 8 bytes a row, reduced by max");
}

TEST_CASE("agreement: COUNT of all_to_all_v names sender and receiver") {
  std::vector<OperationRecord> records(3);
  for (OperationRecord& record : records) {
    record.operation = Operation::all_to_all_v;
    record.rows_per_rank = {1, 2, 3};
  }
  records[0].rows_from = {1, 1, 1};
  records[1].rows_from = {2, 2, 2};
  records[2].rows_from = {3, 3, 3};
  CHECK_FALSE(disagreement_of(records, {}));
  records[2].rows_from = {3, 4, 3};
  const auto found = disagreement_of(records, {});
  REQUIRE(found);
  CHECK(found->check == "COUNT");
  CHECK(found->message ==
        "operation 0 (all_to_all_v): rank 1 sends 3 rows to rank 2, rank 2 expects 4");
}

}  // namespace moe::test
