// Golden: the recorded truth of one scenario (formats.md, 4) as structs, and the judgement of one
// cell (a step, a layer, a rank) against it. sim parses the file; only golden/make_golden.py writes
// one.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "golden/oracle.h"
#include "kernels/base/tensor.h"

namespace moe::golden {

struct Cell {
  int step = 0;
  int layer = 0;
  int rank = 0;

  auto operator<=>(const Cell&) const = default;
};

// One row that the golden keeps for the columns it names. bounds, of real worlds, say how far an
// output may be from each value.
struct StoredRow {
  Count token = 0;
  std::vector<Count> columns;
  std::vector<double> values;
  std::vector<double> bounds = {};
};

struct StoredCell {
  Cell cell;
  std::vector<StoredRow> rows;
};

struct GoldenStep {
  std::vector<Count> tokens;                         // of each rank
  std::vector<std::vector<std::uint64_t>> digests;   // [layer][rank], xxh64 of the output's bytes;
                                                     // empty in real worlds
  std::optional<std::uint64_t> routing_digest = {};  // recorded traces: of the step's topk_ids
};

struct Golden {
  std::string scenario;
  std::string scenario_sha256;
  std::string generator;
  bool has_bounds = false;  // of a real world
  std::vector<GoldenStep> steps;
  std::vector<StoredCell> stored = {};
};

struct Mismatch {
  Count token = 0;
  Count column = 0;
  double expected = 0;
  double actual = 0;
  double bound = 0;  // what the difference may be; 0 in exact worlds

  // The share of the bound that the difference uses; infinite where there is none or a NaN.
  double share() const;
};

struct Comparison {
  Count rows = 0;
  Count mismatches = 0;                  // elements
  std::optional<Mismatch> first = {};    // in row-major order
  std::optional<Mismatch> nearest = {};  // real worlds: the element with the largest share
};

// Element by element: expected [rows, columns], row-major, must be actual's value exactly. NaN
// equals nothing; +0 and -0 are equal here, as values, though digests, which compare bytes, tell
// them apart.
Comparison compare(const std::vector<double>& expected, const Tensor& actual);

// The same against values with bounds: an element differs where it is further off than its bound
// for that many roundings on the way home. Infinity agrees with what may be too large for the type.
Comparison compare(const Expected& expected, const Tensor& actual, int num_roundings);

// Goldens store bounds for so many roundings.
inline constexpr int stored_roundings = 2;

enum class Finding {
  agrees,
  output_differs,       // from the oracle; located
  golden_digest_wrong,  // run and oracle agree, the digest does not
  golden_row_wrong,     // a stored row is not what run and oracle, or oracle alone, say; located
};

struct CellJudgement {
  Finding finding = Finding::agrees;
  Comparison comparison;  // against the oracle, or against the stored row
  std::string sentence;   // empty when all agree; else what differs, where, expected and actual
};

// Judges one cell's output [tokens, hidden_size] of f64, f32, bf16 or f16 in host memory. golden
// may be absent: then the oracle judges, as strictly: a -0 where +0 is due differs, with or without
// golden. In exact worlds the oracle is called only where it is needed: no golden, or a digest that
// is not the output's. In real worlds (has_bounds) it judges every element, and the golden's rows
// must lie where it says; num_roundings as in Expected. Throws ContractError where the golden has
// no such cell or another shape.
CellJudgement judge(const Golden* golden, Cell cell, const Tensor& output,
                    const std::function<Expected()>& oracle, int num_roundings = 0);

}  // namespace moe::golden
