// The judgement of one cell: its digest and stored rows against the golden, and, where there is no
// golden or it does not agree, the oracle's rows against the output. Says who agrees with whom.
// sim calls it for every cell; nothing is read or printed here.

#include "golden/golden.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>

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
      comparison.first = Mismatch{row, static_cast<Count>(column), due[column], values[column]};
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
  const std::string expected =
      mismatch.bound > 0 ? text(nearly(mismatch.expected), " give or take ", nearly(mismatch.bound))
                         : number(mismatch.expected);
  return text(address(cell), ", token ", mismatch.token, ", column ", mismatch.column,
              ": expected ", expected, ", got ", number(mismatch.actual));
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
    if (!comparison.first)
      comparison.first = Mismatch{row.token, row.columns[i], row.values[i], value};
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

// The tokens of a cell, where the golden says nothing else of it.
void check_tokens(const Golden& golden, const Cell& cell, const Tensor& output) {
  const auto rank = static_cast<std::size_t>(cell.rank);
  const auto step = static_cast<std::size_t>(cell.step);
  MOE_CHECK(step < golden.steps.size() && rank < golden.steps[step].tokens.size() &&
                golden.steps[step].tokens[rank] == output.rows,
            text("golden '", golden.scenario, "': ", address(cell), " is not the output ",
                 shape_text(output), "; ", how_to_regenerate(golden)));
}

// How far the two oracles may be apart: they add in different orders, in double, and goldens store
// float32.
double oracles_apart(double value, double bound) {
  return 1e-6 * bound + 0x1p-23 * std::abs(value) + 0x1p-140;
}

// The first stored value or bound that is not the oracle's.
std::optional<Mismatch> differing_stored_value(const Golden& golden, const Cell& cell,
                                               const Expected& expected, const Tensor& output) {
  for (const StoredCell& stored : golden.stored) {
    if (stored.cell != cell) continue;
    for (const StoredRow& row : stored.rows) {
      check_stored_row(golden, stored, row, output);
      for (std::size_t i = 0; i < row.columns.size(); ++i) {
        const auto at = static_cast<std::size_t>(row.token * output.columns + row.columns[i]);
        const double bound = expected.bound(at, stored_roundings);
        const Mismatch one{row.token, row.columns[i], row.values[i], expected.values[at],
                           oracles_apart(expected.values[at], bound)};
        const double bound_off = std::abs(row.bounds[i] - bound);
        if (!(one.share() <= 1)) return one;
        if (!expected.is_sharded && !(bound_off <= 1e-3 * bound)) return one;
      }
    }
  }
  return std::nullopt;
}

CellJudgement judge_bounded(const Golden* golden, const Cell& cell, const Tensor& output,
                            const Expected& expected, int num_roundings) {
  const Comparison comparison = compare(expected, output, num_roundings);
  if (comparison.first) {
    return {Finding::output_differs, comparison,
            text(located(cell, *comparison.first), "; ", comparison.mismatches, " of ",
                 output.rows * output.columns, " elements are further off than their bounds")};
  }
  if (golden != nullptr) {
    check_tokens(*golden, cell, output);
    if (const auto wrong = differing_stored_value(*golden, cell, expected, output)) {
      return {
          Finding::golden_row_wrong, comparison,
          text(address(cell), ", token ", wrong->token, ", column ", wrong->column,
               ": the golden stores ", number(wrong->expected), ", the oracle says ",
               number(wrong->actual), ", or their bounds differ; ", how_to_regenerate(*golden))};
    }
  }
  return {Finding::agrees, comparison, ""};
}

CellJudgement judge_with(const Golden& golden, const Cell& cell, const Tensor& output,
                         const std::function<Expected()>& oracle) {
  const std::uint64_t recorded = recorded_digest(golden, cell, output);
  if (recorded == digest_of(bytes_in(output))) {
    const Comparison rows = compare_stored_rows(golden, cell, output);
    if (rows.first) return wrong_row(golden, cell, rows);
    return {Finding::agrees, Comparison{.rows = output.rows}, ""};
  }
  const std::vector<double> expected = oracle().values;
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

double Mismatch::share() const {
  const double off = std::abs(expected - actual);
  if (off == 0) return 0;
  return off <= bound * std::numeric_limits<double>::max() && bound > 0
             ? off / bound
             : std::numeric_limits<double>::infinity();
}

namespace {

// Whether infinity stands for a number that its type may be too small for.
bool may_overflow(const Mismatch& one, DType dtype) {
  return std::isinf(one.actual) && std::signbit(one.actual) == std::signbit(one.expected) &&
         std::abs(one.expected) + one.bound >= largest_of(dtype);
}

}  // namespace

Comparison compare(const Expected& expected, const Tensor& actual, int num_roundings) {
  MOE_CHECK(std::cmp_equal(expected.values.size(), actual.rows * actual.columns) &&
                expected.errors.size() == expected.values.size(),
            text(expected.values.size(), " expected values and ", expected.errors.size(),
                 " errors for ", shape_text(actual)));
  Comparison comparison{.rows = actual.rows};
  std::vector<double> values(static_cast<std::size_t>(actual.columns));
  for (Count row = 0; row < actual.rows; ++row) {
    read_row(actual, row, values);
    for (std::size_t column = 0; column < values.size(); ++column) {
      const auto at = static_cast<std::size_t>(row * actual.columns) + column;
      const Mismatch one{row, static_cast<Count>(column), expected.values[at], values[column],
                         expected.bound(at, num_roundings)};
      if (may_overflow(one, actual.dtype)) continue;
      const double share = one.share();
      if (!comparison.nearest || share > comparison.nearest->share()) comparison.nearest = one;
      if (share <= 1) continue;
      if (++comparison.mismatches == 1) comparison.first = one;
    }
  }
  return comparison;
}

CellJudgement judge(const Golden* golden, Cell cell, const Tensor& output,
                    const std::function<Expected()>& oracle, int num_roundings) {
  MOE_CHECK(
      output.device.kind == DeviceKind::cpu && output.dtype <= DType::f16,
      text(address(cell), ": an output is judged in host memory and in f64, f32, bf16 or f16, not ",
           shape_text(output)));
  if (golden == nullptr || golden->has_bounds) {
    const Expected expected = oracle();
    if (expected.has_bounds()) {
      return judge_bounded(golden, cell, output, expected, num_roundings);
    }
    return judge_alone(cell, output, expected.values);
  }
  return judge_with(*golden, cell, output, oracle);
}

}  // namespace moe::golden
