// One row of logits through a routing operator, as numbers.
// Included by the routers' tests only.

#pragma once

#include "kernels/kernels.h"
#include "tests/unit/kernels/host_rows.h"

namespace moe {

struct ChosenRow {
  std::vector<double> ids;
  std::vector<double> weights;
};

// What run(kernels, logits [1, experts], routing) leaves in the routing.
template <typename Run>
ChosenRow chosen_row(const std::vector<double>& logits, int top_k, DType dtype, Run run) {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const Buffer row = rows_with(*memory, {1, static_cast<Count>(logits.size()), dtype}, logits);
  const RoutingBuffers routing{Buffer(*memory, {1, top_k, DType::i32}),
                               Buffer(*memory, {1, top_k, DType::f32})};
  run(*kernels, row.tensor(), routing.view());
  return {values_of(routing.topk_ids.tensor()), values_of(routing.topk_weights.tensor())};
}

}  // namespace moe
