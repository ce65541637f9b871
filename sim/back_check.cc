// Sampling and the comparison. Digests see every byte, samples say where. Called by the rank's
// program, and by the commands that run lines.

#include "sim/back_check.h"

#include <cmath>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "sim/verdict.h"

namespace moe::sim {
namespace {

// Of a row, first and last included.
constexpr Count sampled_columns_max = 16;

bool agree(const OutputSample& a, const OutputSample& b) {
  if (a.value == b.value) return true;
  return std::abs(a.value - b.value) <= a.bound + b.bound;  // false for NaN
}

std::string sample_difference(std::size_t rank, const RankOutputs& one, const RankOutputs& other) {
  for (std::size_t i = 0; i < std::min(one.samples.size(), other.samples.size()); ++i) {
    const OutputSample& a = one.samples[i];
    const OutputSample& b = other.samples[i];
    if (agree(a, b)) continue;
    return text("step ", a.cell.step, ", layer ", a.cell.layer, ", rank ", rank, ": token ",
                a.token, ", column ", a.column, " is ", a.value, " here and ", b.value, " there",
                one.has_bounds
                    ? text(", which bounds of ", a.bound, " and ", b.bound, " do not explain")
                    : "");
  }
  return {};
}

std::string line_words(const RunLine& line) {
  return text(line.backend, " (", line.communicator, ", ",
              line.ranks == RanksAre::threads ? "threads" : "processes", ", ",
              name_of(line.selection), ", ", line.profile, ")");
}

}  // namespace

std::vector<OutputSample> row_samples(golden::Cell cell, const Tensor& output, Count token,
                                      const std::vector<double>& bounds) {
  std::vector<double> row(static_cast<std::size_t>(output.columns));
  golden::read_row(output, token, row);
  std::vector<OutputSample> samples;
  const Count count = std::min(sampled_columns_max, output.columns);
  for (Count i = 0; i < count; ++i) {
    const Count column = count == 1 ? 0 : i * (output.columns - 1) / (count - 1);
    const auto at = static_cast<std::size_t>(column);
    samples.push_back({cell, token, column, row[at], bounds.empty() ? 0 : bounds[at]});
  }
  return samples;
}

std::string output_difference(const std::vector<RankOutputs>& ones,
                              const std::vector<RankOutputs>& others) {
  if (ones.size() != others.size()) {
    return text(ones.size(), " ranks here and ", others.size(), " there");
  }
  for (std::size_t rank = 0; rank < ones.size(); ++rank) {
    const std::string located = sample_difference(rank, ones[rank], others[rank]);
    if (!located.empty()) return located;
    if (!ones[rank].has_bounds && ones[rank].digest != others[rank].digest) {
      return text("rank ", rank, ": outputs differ, between the sampled rows and columns");
    }
  }
  return {};
}

void BackCheck::look(Outcome& outcome) {
  const bool has_passed = std::holds_alternative<Passed>(outcome.verdict);
  if (!has_passed || outcome.judge == Judge::expectation || outcome.outputs.empty()) return;
  const bool is_real = outcome.outputs.front().has_bounds;
  const std::string key = text(outcome.scenario, is_real ? " real" : " integers");
  const auto [at, is_first] =
      first_of_.try_emplace(key, First{line_words(outcome.line), outcome.outputs});
  if (is_first) return;
  const std::string difference = output_difference(outcome.outputs, at->second.outputs);
  outcome.checks["M-BACK"] = difference.empty() ? "ok" : difference;
  if (difference.empty()) return;
  const std::string sentence = text("M-BACK: not what ", at->second.words, " gave: ", difference);
  outcome.details.insert(outcome.details.begin(), sentence);
  outcome.verdict = Failed{sentence};
}

}  // namespace moe::sim
