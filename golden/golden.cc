// The judgement of one cell: its digest and stored rows against the golden, and, where there is no
// golden or it does not agree, the oracle's rows against the output. Says who agrees with whom.
// sim calls it for every cell; nothing is read or printed here.

#include "golden/golden.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "golden/oracle.h"
#include "kernels/base/bits.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr auto same_value = [](double expected, double actual) { return expected == actual; };

// Tells +0 from -0, as a digest does.
constexpr auto same_bytes = [](double expected, double actual) {
  return expected == actual && std::signbit(expected) == std::signbit(actual);
};

template <typename Same>
Comparison compared(const std::vector<double>& expected, const Tensor& actual, Same same) {
  MOE_CHECK(std::cmp_equal(expected.size(), actual.rows * actual.columns),
            text(expected.size(), " expected values for ", shape_text(actual)));
  Comparison comparison{.rows = actual.rows};
  std::vector<double> values(static_cast<std::size_t>(actual.columns));
  for (Count row = 0; row < actual.rows; ++row) {
    read_row(actual, row, values);
    const double* due = expected.data() + row * actual.columns;
    for (std::size_t column = 0; column < values.size(); ++column) {
      if (same(due[column], values[column])) continue;
      if (++comparison.mismatches > 1) continue;
      comparison.first = {row, static_cast<Count>(column), due[column], values[column]};
    }
  }
  return comparison;
}

template <typename T>
void append(T value, std::vector<std::byte>& bytes) {
  const auto raw = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

// The digest that an output of these values and this type has.
std::uint64_t digest_as(DType dtype, const std::vector<double>& values) {
  std::vector<std::byte> bytes;
  bytes.reserve(values.size() * static_cast<std::size_t>(size_of(dtype)));
  for (const double value : values) {
    if (dtype == DType::f64) {
      append(value, bytes);
    } else if (dtype == DType::f32) {
      append(static_cast<float>(value), bytes);
    } else if (dtype == DType::bf16) {
      append(to_bfloat16(static_cast<float>(value)), bytes);
    } else {
      append(to_float16(static_cast<float>(value)), bytes);
    }
  }
  return digest_of(bytes);
}

std::span<const std::byte> bytes_in(const Tensor& output) {
  return {static_cast<const std::byte*>(output.data), static_cast<std::size_t>(bytes_of(output))};
}

std::string address(const Cell& cell) {
  return text("step ", cell.step, ", layer ", cell.layer, ", rank ", cell.rank);
}

std::string located(const Cell& cell, const Mismatch& mismatch) {
  return text(address(cell), ", token ", mismatch.token, ", column ", mismatch.column,
              ": expected ", number(mismatch.expected), ", got ", number(mismatch.actual));
}

std::string how_to_regenerate(const Golden& golden) {
  return text("regenerate it with golden/make_golden.py scenarios/", golden.scenario, ".yaml");
}

std::uint64_t recorded_digest(const Golden& golden, const Cell& cell, const Tensor& output) {
  const std::string where = text("golden '", golden.scenario, "': ", address(cell), ": ");
  const std::string how = "; " + how_to_regenerate(golden);
  MOE_CHECK(cell.step >= 0 && std::cmp_less(cell.step, golden.steps.size()),
            text(where, "it has ", golden.steps.size(), " steps", how));
  const GoldenStep& step = golden.steps[static_cast<std::size_t>(cell.step)];
  MOE_CHECK(cell.layer >= 0 && std::cmp_less(cell.layer, step.digests.size()),
            text(where, "it has ", step.digests.size(), " layers in this step", how));
  const auto& digests = step.digests[static_cast<std::size_t>(cell.layer)];
  const auto rank = static_cast<std::size_t>(cell.rank);
  MOE_CHECK(cell.rank >= 0 && rank < digests.size() && digests.size() == step.tokens.size(),
            text(where, "it has ", digests.size(), " digests and token counts of ",
                 step.tokens.size(), " ranks in this layer", how));
  MOE_CHECK(step.tokens[rank] == output.rows,
            text(where, "it has ", step.tokens[rank], " tokens, the output is ", shape_text(output),
                 how));
  return digests[rank];
}

void check_stored_row(const Golden& golden, const StoredCell& stored, const StoredRow& row,
                      const Tensor& output) {
  bool fits = row.token >= 0 && row.token < output.rows && row.columns.size() == row.values.size();
  for (const Count column : row.columns) fits = fits && column >= 0 && column < output.columns;
  MOE_CHECK(fits, text("golden '", golden.scenario, "': ", address(stored.cell),
                       ": the stored row of token ", row.token, " with ", row.values.size(),
                       " values in columns ", joined(row.columns), " does not fit the output ",
                       shape_text(output), "; ", how_to_regenerate(golden)));
}

void compare_stored_row(const StoredRow& row, const Tensor& output, Comparison& comparison) {
  std::vector<double> actual(static_cast<std::size_t>(output.columns));
  read_row(output, row.token, actual);
  ++comparison.rows;
  for (std::size_t i = 0; i < row.columns.size(); ++i) {
    const double value = actual[static_cast<std::size_t>(row.columns[i])];
    if (same_value(row.values[i], value)) continue;
    ++comparison.mismatches;
    if (!comparison.first) comparison.first = {row.token, row.columns[i], row.values[i], value};
  }
}

Comparison compare_stored_rows(const Golden& golden, const Cell& cell, const Tensor& output) {
  Comparison comparison;
  for (const StoredCell& stored : golden.stored) {
    if (stored.cell != cell) continue;
    for (const StoredRow& row : stored.rows) {
      check_stored_row(golden, stored, row, output);
      compare_stored_row(row, output, comparison);
    }
  }
  return comparison;
}

CellJudgement wrong_row(const Golden& golden, const Cell& cell, const Comparison& comparison) {
  return {Finding::golden_row_wrong, comparison,
          text(located(cell, *comparison.first),
               " (expected is what the golden stores); run and digest agree: the golden's stored "
               "row is wrong; ",
               how_to_regenerate(golden))};
}

CellJudgement wrong_digest(const Golden& golden, const Cell& cell, const Tensor& output) {
  const Comparison rows = compare_stored_rows(golden, cell, output);
  std::string also;
  if (rows.first) {
    also = text(", and so is its stored row of token ", rows.first->token, ", column ",
                rows.first->column, ": stored ", number(rows.first->expected), ", got ",
                number(rows.first->actual));
  }
  return {Finding::golden_digest_wrong, Comparison{.rows = output.rows},
          text(address(cell), ": run and oracle agree: the golden is wrong; its digest is ",
               hex16(recorded_digest(golden, cell, output)), ", the output's ",
               hex16(digest_of(bytes_in(output))), also, "; ", how_to_regenerate(golden))};
}

CellJudgement judge_alone(const Cell& cell, const Tensor& output,
                          const std::vector<double>& expected) {
  const Comparison comparison = compared(expected, output, same_bytes);
  if (!comparison.first) return {Finding::agrees, comparison, ""};
  return {Finding::output_differs, comparison,
          text(located(cell, *comparison.first), "; ", comparison.mismatches, " of ",
               output.rows * output.columns, " elements differ")};
}

CellJudgement judge_with(const Golden& golden, const Cell& cell, const Tensor& output,
                         const std::function<std::vector<double>()>& oracle) {
  const std::uint64_t recorded = recorded_digest(golden, cell, output);
  if (recorded == digest_of(bytes_in(output))) {
    const Comparison rows = compare_stored_rows(golden, cell, output);
    if (rows.first) return wrong_row(golden, cell, rows);
    return {Finding::agrees, Comparison{.rows = output.rows}, ""};
  }
  const std::vector<double> expected = oracle();
  CellJudgement judgement = judge_alone(cell, output, expected);
  if (judgement.finding == Finding::agrees) return wrong_digest(golden, cell, output);
  judgement.sentence +=
      recorded == digest_as(output.dtype, expected)
          ? "; golden and oracle agree"
          : "; the golden agrees with neither run nor oracle, " + how_to_regenerate(golden);
  return judgement;
}

}  // namespace

Comparison compare(const std::vector<double>& expected, const Tensor& actual) {
  return compared(expected, actual, same_value);
}

CellJudgement judge(const Golden* golden, Cell cell, const Tensor& output,
                    const std::function<std::vector<double>()>& oracle) {
  MOE_CHECK(
      output.device.kind == DeviceKind::cpu && output.dtype <= DType::f16,
      text(address(cell), ": an output is judged in host memory and in f64, f32, bf16 or f16, not ",
           shape_text(output)));
  if (golden == nullptr) return judge_alone(cell, output, oracle());
  return judge_with(*golden, cell, output, oracle);
}

}  // namespace moe::golden
