// The exchange of partial rows and the sum. Only fp32 accumulators exist yet; another one is
// refused where the recipe is read.

#include "sim/combine_replay.h"

#include <cstring>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

// One element of every rank's part, ranks ascending, added in fp32 and rounded once.
template <typename T>
T replayed(const Tensor& parts, Count own_rows, Count row, Count column) {
  float sum = 0;
  for (Count from = row; from < parts.rows; from += own_rows) {
    const auto* values = reinterpret_cast<const T*>(row_at(parts, from));
    sum = from == row ? to_float(values[column]) : sum + to_float(values[column]);
  }
  T rounded;
  round_to(sum, rounded);
  return rounded;
}

// The first element of the output that is not the replay's, as a sentence; empty where none is.
std::string first_difference(const Tensor& parts, const Tensor& output) {
  std::string sentence;
  for_row_type(output.dtype, [&](auto element) {
    using T = decltype(element);
    for (Count i = 0; i < output.rows * output.columns && sentence.empty(); ++i) {
      const Count row = i / output.columns;
      const Count column = i % output.columns;
      const T expected = replayed<T>(parts, output.rows, row, column);
      const T actual = reinterpret_cast<const T*>(row_at(output, row))[column];
      if (std::memcmp(&expected, &actual, sizeof(T)) == 0) continue;
      std::vector<double> terms;
      for (Count from = row; from < parts.rows; from += output.rows) {
        terms.push_back(to_float(reinterpret_cast<const T*>(row_at(parts, from))[column]));
      }
      sentence = text("row ", row, ", column ", column, ": the ranks gave [", joined(terms),
                      "], whose sum in their order is ", to_float(expected), ", combine says ",
                      to_float(actual));
    }
  });
  return sentence;
}

}  // namespace

bool has_ordered_sum(const ReductionRecipe& recipe) {
  return !recipe.empty() && recipe.back().operands == Operands::ranks && recipe.back().ordered &&
         recipe.back().weighting == Weighting::none && recipe.back().accumulator == DType::f32;
}

void check_order(const WatchedCombine& combine, const ReductionRecipe& recipe, Communicator& group,
                 golden::Cell cell, CheckLedger& ledger) {
  MOE_CHECK(has_ordered_sum(recipe), "a combine is replayed whose recipe promises no order");
  ledger.looked("ORDER");
  const Tensor& output = combine.output.tensor();
  Memory& memory = group.memory();
  const Buffer given = copy_of(combine.expert_output.tensor(), memory);
  const std::vector<Count> rows_from(static_cast<std::size_t>(group.size()), output.rows);
  const Buffer parts(memory, {output.rows * group.size(), output.columns, output.dtype});
  group.all_to_all_v({&given.tensor(), 1}, combine.rows_per_rank, rows_from, {&parts.tensor(), 1});
  const HostCopy on_host(parts.tensor(), memory);
  const std::string sentence = first_difference(on_host.tensor(), output);
  if (sentence.empty()) return;
  ledger.found("ORDER", moment_of(cell, 1), text(place_text(cell), ", combine: ", sentence));
}

int num_roundings(const Scenario& scenario, const Capabilities& capabilities) {
  int roundings = static_cast<int>(capabilities.recipe.size());
  if (scenario.world.tp > 1) ++roundings;   // the sum over TP
  if (scenario.world.pcp > 1) ++roundings;  // the runner's own reduce-scatter
  if (scenario.model.scale != 1) ++roundings;
  if (scenario.model.num_shared_experts > 0) ++roundings;
  return roundings;
}

}  // namespace moe::sim
