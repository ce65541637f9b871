// Rows that move: lists, counts of every kind, all types, groups of 1 to 8 ranks. Expected bytes
// are put together by the main thread from the patterns of the senders.

#include <algorithm>
#include <atomic>

#include "tests/conformance/conformance.h"

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

  bool operator==(const Received&) const = default;
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

void gather_lists(const Subject& subject, const std::string& rows_name, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    const Counts rows = rows_case(rows_name, size);
    const auto outcomes = run_subject(
        subject, size, [&](Communicator& group) { return gather(group, list_shapes, rows); });
    expect_all(troubles, outcomes, {gathered_patterns(list_shapes, rows)});
  }
}

// 32 rows of 2048 bytes are 64 KiB, up to which wires join messages.
void gather_around_join(const Subject& subject, Troubles& troubles) {
  const std::vector<Shape> shapes = {{0, 1000, DType::bf16}, {0, 12, DType::i32}};
  const Counts rows = {1, 32, 33};
  const auto outcomes =
      run_subject(subject, 3, [&](Communicator& group) { return gather(group, shapes, rows); });
  expect_all(troubles, outcomes, {gathered_patterns(shapes, rows)});
}

void gather_in_place(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(subject, 3, [](Communicator& group) {
    const Counts rows = {2, 1, 3};
    std::vector<Buffer> gathered = empty_list(group, {{0, 4, DType::u8}}, 6);
    const Tensor own = rows_of(gathered[0].tensor(), rows_before(rows, group.rank()),
                               rows[static_cast<std::size_t>(group.rank())]);
    Bytes bytes = pattern(group.rank(), 0, bytes_of(own));
    group.memory().copy_from_host({bytes.data(), own.rows, own.columns, own.dtype, {}}, own);
    group.all_gather_v(one(own), rows, one(gathered[0].tensor()));
    return received(gathered);
  });
  expect_all(troubles, outcomes, {gathered_patterns({{0, 4, DType::u8}}, {2, 1, 3})});
}

void exchange_runs(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    const auto outcomes = run_subject(
        subject, size, [](Communicator& group) { return exchange(group, list_shapes); });
    for (int rank = 0; rank < size; ++rank) {
      expect(troubles, outcomes, rank, {exchanged_patterns(list_shapes, rank, size)});
    }
  }
}

void every_dtype(const Subject& subject, Troubles& troubles) {
  const Counts rows = {2, 0, 3};
  for (const Shape& shape : all_shapes()) {
    const std::vector<Shape> shapes = {shape};
    const auto gathered =
        run_subject(subject, 3, [&](Communicator& group) { return gather(group, shapes, rows); });
    expect_all(troubles, gathered, {gathered_patterns(shapes, rows)}, name_of(shape.dtype));
    const auto exchanged =
        run_subject(subject, 3, [&](Communicator& group) { return exchange(group, shapes); });
    for (int rank = 0; rank < 3; ++rank) {
      expect(troubles, exchanged, rank, {exchanged_patterns(shapes, rank, 3)},
             name_of(shape.dtype));
    }
  }
}

void broadcast_from_every_root(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    const auto outcomes = run_subject(subject, size, [&](Communicator& group) {
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
    std::vector<Bytes> expected;
    for (int root = 0; root < size; ++root) {
      expected.push_back(pattern(root, 2 * root, 30));
      expected.push_back(pattern(root, 2 * root + 1, 56));
    }
    expect_all(troubles, outcomes, expected);
  }
}

void handed_on(const Subject& subject, Troubles& troubles) {
  for (int size = 2; size <= 8; ++size) {
    const auto outcomes = run_subject(subject, size, [&](Communicator& group) {
      const Buffer rows = patterned(group, 0, {4, 3, DType::bf16});
      const Buffer ids = patterned(group, 1, {2, 1, DType::i32});
      const Tensor list[] = {rows.tensor(), ids.tensor()};
      for (int turn = 0; turn < 3; ++turn) {
        if (group.rank() > 0) group.recv(list, group.rank() - 1);
        if (group.rank() + 1 < size) group.send(list, group.rank() + 1);
      }
      return std::vector<Bytes>{bytes_in(rows), bytes_in(ids)};
    });
    expect_all(troubles, outcomes, {pattern(0, 0, 24), pattern(0, 1, 8)});
  }
}

void nobody_passes_early(const Subject& subject, Troubles& troubles) {
  for (int size = 1; size <= 8; ++size) {
    std::atomic<int> arrived = 0;
    const auto outcomes = run_subject(subject, size, [&](Communicator& group) {
      bool complete = true;
      for (int turn = 1; turn <= 20; ++turn) {
        ++arrived;
        group.barrier();
        complete = complete && arrived >= turn * size;
        group.barrier();
      }
      return complete;
    });
    expect_all(troubles, outcomes, true);
  }
}

}  // namespace

std::vector<ConformanceCase> move_cases() {
  std::vector<ConformanceCase> cases;
  for (const std::string& name : rows_cases) {
    cases.push_back({text("all_gather_v: a list in the order of the ranks, rows: ", name),
                     [name](const Subject& subject, Troubles& troubles) {
                       gather_lists(subject, name, troubles);
                     }});
  }
  cases.push_back(
      {"all_gather_v: lists around the size up to which messages are joined", gather_around_join});
  cases.push_back(
      {"all_gather_v: own rows may already lie in the gathered tensor", gather_in_place});
  cases.push_back(
      {"all_to_all_v: runs of a list for each rank from each rank, some empty", exchange_runs});
  cases.push_back({"every dtype travels unchanged", every_dtype});
  cases.push_back({"broadcast: the root's list, from every root", broadcast_from_every_root});
  cases.push_back(
      {"send and recv: a list handed from rank to rank arrives at the last one", handed_on});
  cases.push_back({"barrier: nobody passes before the last one has come", nobody_passes_early});
  return cases;
}

}  // namespace moe::test
