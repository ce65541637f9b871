// What every communicator must do with rows: the same cases over local and Gloo ranks and several
// sizes. Expected bytes are put together by the main thread from the patterns of the senders.

#include <algorithm>
#include <atomic>

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

// How many rows each rank gives: the cases that went wrong elsewhere.
Counts rows_case(const std::string& name, int size) {
  Counts rows;
  for (int rank = 0; rank < size; ++rank) {
    if (name == "even") rows.push_back(3);
    if (name == "uneven") rows.push_back((rank * 7 + 2) % 5);
    if (name == "idle ranks") rows.push_back(rank % 2 == 0 ? 0 : 4);
    if (name == "one rank only") rows.push_back(rank == size - 1 ? 5 : 0);
    if (name == "none") rows.push_back(0);
  }
  return rows;
}

const std::vector<std::string> rows_cases = {"even", "uneven", "idle ranks", "one rank only",
                                             "none"};

// The tensors of a list call: different widths, one of them empty.
const std::vector<Shape> list_shapes = {
    {0, 5, DType::bf16}, {0, 3, DType::i32}, {0, 1, DType::f8e4m3}, {0, 0, DType::f32}};

Count bytes_a_row(const Shape& shape) { return shape.columns * size_of(shape.dtype); }

struct Received {
  std::vector<Bytes> tensors;
  bool guards_intact = true;
};

Received received(const std::vector<Buffer>& buffers) {
  Received result;
  for (const Buffer& buffer : buffers) {
    result.tensors.push_back(bytes_in(buffer));
    result.guards_intact = result.guards_intact && buffer.guards_intact();
  }
  return result;
}

std::vector<Tensor> tensors_of(const std::vector<Buffer>& buffers) {
  std::vector<Tensor> tensors;
  for (const Buffer& buffer : buffers) tensors.push_back(buffer.tensor());
  return tensors;
}

std::vector<Buffer> patterned_list(Communicator& group, const std::vector<Shape>& shapes,
                                   Count rows) {
  std::vector<Buffer> buffers;
  for (const Shape& shape : shapes) {
    const int tensor = static_cast<int>(buffers.size());
    buffers.push_back(patterned(group, tensor, {rows, shape.columns, shape.dtype}));
  }
  return buffers;
}

std::vector<Buffer> empty_list(Communicator& group, const std::vector<Shape>& shapes, Count rows) {
  std::vector<Buffer> buffers;
  for (const Shape& shape : shapes) {
    buffers.emplace_back(group.memory(), Shape{rows, shape.columns, shape.dtype});
  }
  return buffers;
}

Received gather(Communicator& group, const std::vector<Shape>& shapes, const Counts& rows) {
  const Count own = rows[static_cast<std::size_t>(group.rank())];
  const std::vector<Buffer> from = patterned_list(group, shapes, own);
  const std::vector<Buffer> to = empty_list(group, shapes, total_rows(rows));
  group.all_gather_v(tensors_of(from), rows, tensors_of(to));
  return received(to);
}

std::vector<Bytes> gathered_patterns(const std::vector<Shape>& shapes, const Counts& rows) {
  std::vector<Bytes> expected(shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    for (std::size_t rank = 0; rank < rows.size(); ++rank) {
      const Bytes part =
          pattern(static_cast<int>(rank), static_cast<int>(i), rows[rank] * bytes_a_row(shapes[i]));
      expected[i].insert(expected[i].end(), part.begin(), part.end());
    }
  }
  return expected;
}

// Rows from each rank to each: from * 3 + to, some of them none.
Count rows_between(int from, int to, int size) {
  if ((from + to) % 3 == 2) return 0;
  return (from * 3 + to * 2) % (size + 2);
}

Counts rows_to(int from, int size) {
  Counts rows;
  for (int to = 0; to < size; ++to) rows.push_back(rows_between(from, to, size));
  return rows;
}

Counts rows_from(int to, int size) {
  Counts rows;
  for (int from = 0; from < size; ++from) rows.push_back(rows_between(from, to, size));
  return rows;
}

Received exchange(Communicator& group, const std::vector<Shape>& shapes) {
  const Counts to = rows_to(group.rank(), group.size());
  const Counts from = rows_from(group.rank(), group.size());
  const std::vector<Buffer> sent = patterned_list(group, shapes, total_rows(to));
  const std::vector<Buffer> got = empty_list(group, shapes, total_rows(from));
  group.all_to_all_v(tensors_of(sent), to, from, tensors_of(got));
  return received(got);
}

std::vector<Bytes> exchanged_patterns(const std::vector<Shape>& shapes, int to, int size) {
  std::vector<Bytes> expected(shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Count width = bytes_a_row(shapes[i]);
    for (int from = 0; from < size; ++from) {
      const Counts rows = rows_to(from, size);
      const Bytes sent = pattern(from, static_cast<int>(i), total_rows(rows) * width);
      const auto begin = sent.begin() + rows_before(rows, to) * width;
      const Count bytes = rows[static_cast<std::size_t>(to)] * width;
      expected[i].insert(expected[i].end(), begin, begin + bytes);
    }
  }
  return expected;
}

std::vector<Shape> all_shapes() {
  std::vector<Shape> shapes;
  for (const DType dtype : all_dtypes) {
    shapes.push_back({0, static_cast<Count>(shapes.size()) % 3 + 1, dtype});
  }
  return shapes;
}

const std::vector<int> sizes = {1, 2, 3, 4, 7, 8};

}  // namespace

TEST_CASE("all_gather_v: rows of a list in the order of the ranks, whatever each gives") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(from_range(sizes));
  CAPTURE(name_of(wire), size);
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    std::vector<Received> all;
    for (const std::string& name : rows_cases) {
      all.push_back(gather(group, list_shapes, rows_case(name, size)));
    }
    return all;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    for (std::size_t i = 0; i < rows_cases.size(); ++i) {
      CAPTURE(rows_cases[i]);
      const Counts rows = rows_case(rows_cases[i], size);
      CHECK((*outcome.value)[i].tensors == gathered_patterns(list_shapes, rows));
      CHECK((*outcome.value)[i].guards_intact);
    }
  }
}

TEST_CASE("all_gather_v: lists just below, at and above the size up to which messages are joined") {
  const std::vector<Shape> shapes = {{0, 1000, DType::bf16}, {0, 12, DType::i32}};  // 2048 bytes
  const Counts rows = {1, 32, 33};  // 32 rows are 64 KiB
  for (const Wire wire : wires()) {
    const auto outcomes =
        run_world({wire, 3}, [&](Communicator& group) { return gather(group, shapes, rows); });
    for (const auto& outcome : outcomes) {
      REQUIRE(outcome.error == "");
      CHECK(outcome.value->tensors == gathered_patterns(shapes, rows));
    }
  }
}

TEST_CASE("all_to_all_v: runs for each rank from each rank, some of them empty") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(from_range(sizes));
  CAPTURE(name_of(wire), size);
  const auto outcomes =
      run_world({wire, size}, [&](Communicator& group) { return exchange(group, list_shapes); });
  for (int rank = 0; rank < size; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    REQUIRE(outcome.error == "");
    CHECK(outcome.value->tensors == exchanged_patterns(list_shapes, rank, size));
    CHECK(outcome.value->guards_intact);
  }
}

TEST_CASE("every dtype travels unchanged") {
  const Wire wire = GENERATE(from_range(wires()));
  const std::vector<Shape> shapes = all_shapes();
  const Counts rows = {2, 0, 3};
  const auto outcomes = run_world({wire, 3}, [&](Communicator& group) {
    return std::vector<Received>{gather(group, shapes, rows), exchange(group, shapes)};
  });
  for (int rank = 0; rank < 3; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    REQUIRE(outcome.error == "");
    CHECK((*outcome.value)[0].tensors == gathered_patterns(shapes, rows));
    CHECK((*outcome.value)[1].tensors == exchanged_patterns(shapes, rank, 3));
  }
}

TEST_CASE("all_gather_v: a rank's rows may already lie in the gathered tensor") {
  const Wire wire = GENERATE(from_range(wires()));
  const auto outcomes = run_world({wire, 3}, [](Communicator& group) {
    const Counts rows = {2, 1, 3};
    const Buffer gathered(group.memory(), {6, 4, DType::u8});
    const Tensor own = rows_of(gathered.tensor(), rows_before(rows, group.rank()),
                               rows[static_cast<std::size_t>(group.rank())]);
    const Bytes bytes = pattern(group.rank(), 0, bytes_of(own));
    std::copy(bytes.begin(), bytes.end(), static_cast<std::uint8_t*>(own.data));
    group.all_gather_v(one(own), rows, one(gathered.tensor()));
    return bytes_in(gathered);
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == gathered_patterns({{0, 4, DType::u8}}, {2, 1, 3})[0]);
  }
}

TEST_CASE("broadcast: the root's list, from every root, rows of a tensor as they are") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(from_range(sizes));
  CAPTURE(name_of(wire), size);
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    std::vector<Bytes> all;
    for (int root = 0; root < size; ++root) {
      const Buffer wide = patterned(group, 2 * root, {3, 5, DType::f16});
      const Buffer none = patterned(group, 99, {0, 5, DType::f16});
      const Buffer tall = patterned(group, 2 * root + 1, {7, 1, DType::i64});
      const Tensor list[] = {wide.tensor(), none.tensor(), tall.tensor()};
      group.broadcast(list, root);
      all.push_back(bytes_in(wide));
      all.push_back(bytes_in(tall));
    }
    return all;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    for (int root = 0; root < size; ++root) {
      const auto at = static_cast<std::size_t>(2 * root);
      CHECK((*outcome.value)[at] == pattern(root, 2 * root, 30));
      CHECK((*outcome.value)[at + 1] == pattern(root, 2 * root + 1, 56));
    }
  }
}

TEST_CASE("send and recv: a list handed from rank to rank arrives at the last one") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(2, 4, 7);
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    const Buffer rows = patterned(group, 0, {4, 3, DType::bf16});
    const Buffer ids = patterned(group, 1, {2, 1, DType::i32});
    const Tensor list[] = {rows.tensor(), ids.tensor()};
    for (int turn = 0; turn < 3; ++turn) {
      if (group.rank() > 0) group.recv(list, group.rank() - 1);
      if (group.rank() + 1 < size) group.send(list, group.rank() + 1);
      group.barrier();
    }
    return std::vector<Bytes>{bytes_in(rows), bytes_in(ids)};
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == std::vector<Bytes>{pattern(0, 0, 24), pattern(0, 1, 8)});
  }
}

TEST_CASE("barrier: nobody passes before the last one has come") {
  const Wire wire = GENERATE(from_range(wires()));
  const int size = GENERATE(1, 2, 4, 8);
  std::atomic<int> arrived = 0;
  const auto outcomes = run_world({wire, size}, [&](Communicator& group) {
    bool complete = true;
    for (int turn = 1; turn <= 20; ++turn) {
      ++arrived;
      group.barrier();
      complete = complete && arrived >= turn * size;
      group.barrier();
    }
    return complete;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value);
  }
}

TEST_CASE("local and Gloo ranks move and add the same bytes in made-up worlds") {
  const int seed = GENERATE(range(1, 9));
  const int size = 2 + static_cast<int>(mix(seed, 0) % 4);
  CAPTURE(seed, size);
  const auto program = [&](Communicator& group) {
    std::vector<Bytes> all;
    for (int turn = 0; turn < 12; ++turn) {
      Counts rows;
      for (int rank = 0; rank < size; ++rank) {
        rows.push_back(static_cast<Count>(mix(seed, turn, rank) % 4));
      }
      const auto columns = static_cast<Count>(mix(seed, turn, 77) % 9);
      const Count own = rows[static_cast<std::size_t>(group.rank())];
      all.push_back(gather(group, {{0, columns, DType::f16}}, rows).tensors[0]);
      const Buffer partial = patterned(group, turn, {total_rows(rows), columns, DType::bf16});
      const Buffer sum(group.memory(), {own, columns, DType::bf16});
      group.reduce_scatter_v(partial.tensor(), rows, sum.tensor());
      all.push_back(bytes_in(sum));
      group.all_reduce(partial.tensor(), ReduceOp::sum, partial.tensor());
      all.push_back(bytes_in(partial));
    }
    return all;
  };
  const auto local = run_world({Wire::local, size}, program);
  for (const Wire wire : wires()) {
    const auto other = run_world({wire, size}, program);
    for (std::size_t rank = 0; rank < local.size(); ++rank) {
      REQUIRE(local[rank].error == "");
      REQUIRE(other[rank].error == "");
      CHECK(*local[rank].value == *other[rank].value);
    }
  }
}

}  // namespace moe::test
