// Golden: the recorded truth of one scenario (formats.md, 4) as structs, and the judgement of one
// cell (a step, a layer, a rank) against it. sim parses the file; only golden/make_golden.py writes
// one.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/tensor.h"

namespace moe::golden {

struct Cell {
  int step = 0;
  int layer = 0;
  int rank = 0;

  auto operator<=>(const Cell&) const = default;
};

// One row that the golden keeps in full for the columns it names.
struct StoredRow {
  Count token = 0;
  std::vector<Count> columns;
  std::vector<double> values;
};

struct StoredCell {
  Cell cell;
  std::vector<StoredRow> rows;
};

struct GoldenStep {
  std::vector<Count> tokens;                         // of each rank
  std::vector<std::vector<std::uint64_t>> digests;   // [layer][rank], xxh64 of the output's bytes
  std::optional<std::uint64_t> routing_digest = {};  // recorded traces: of the step's topk_ids
};

struct Golden {
  std::string scenario;
  std::string scenario_sha256;
  std::string generator;
  std::vector<GoldenStep> steps;
  std::vector<StoredCell> stored = {};
};

struct Mismatch {
  Count token = 0;
  Count column = 0;
  double expected = 0;
  double actual = 0;
};

struct Comparison {
  Count rows = 0;
  Count mismatches = 0;                // elements
  std::optional<Mismatch> first = {};  // in row-major order
};

// Element by element: expected [rows, columns], row-major, must be actual's value exactly. NaN
// equals nothing; +0 and -0 are equal here, as values, though digests, which compare bytes, tell
// them apart.
Comparison compare(const std::vector<double>& expected, const Tensor& actual);

enum class Finding {
  agrees,
  output_differs,       // from the oracle; located
  golden_digest_wrong,  // run and oracle agree, the digest does not
  golden_row_wrong,     // run and oracle agree, a stored row does not; located
};

struct CellJudgement {
  Finding finding = Finding::agrees;
  Comparison comparison;  // against the oracle, or against the stored row
  std::string sentence;   // empty when all agree; else what differs, where, expected and actual
};

// Judges one cell's output [tokens, hidden_size] of f64, f32, bf16 or f16 in host memory. golden
// may be absent: then the oracle judges, as strictly: a -0 where +0 is due differs, with or without
// golden. The oracle is called only where it is needed: no golden, or a digest that is not the
// output's. Throws ContractError where the golden has no such cell or another shape.
CellJudgement judge(const Golden* golden, Cell cell, const Tensor& output,
                    const std::function<std::vector<double>()>& oracle);

}  // namespace moe::golden
