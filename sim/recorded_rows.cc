// One pass over ids and weights.
// The reader is RecordedRouter in backends/routers.cc.

#include "sim/recorded_rows.h"

namespace moe::sim {

Buffer recorded_rows(const CellInputs& inputs, Memory& memory) {
  const auto ids = elements_of<std::int32_t>(inputs.topk_ids.tensor());
  const auto weights = elements_of<float>(inputs.topk_weights.tensor());
  const Count rows = inputs.topk_ids.tensor().rows;
  const Count top_k = inputs.topk_ids.tensor().columns;
  Buffer recorded(memory, {rows, 2 * top_k, DType::f32});
  const auto to = elements_of<float>(recorded.tensor());
  for (Count i = 0; i < rows * top_k; ++i) {
    const auto at = static_cast<std::size_t>(i / top_k * 2 * top_k + i % top_k);
    to[at] = static_cast<float>(ids[static_cast<std::size_t>(i)] - i % top_k);
    to[at + static_cast<std::size_t>(top_k)] = weights[static_cast<std::size_t>(i)];
  }
  return recorded;
}

}  // namespace moe::sim
