// Tables of exact experts from mix. The streams' numbers are those of oracle.py.
// A probe passes column h itself; exact_gemm takes row h of W2 to one intermediate, and that one's
// row of W13 to one input column.

#include "golden/exact_experts.h"

#include "golden/expert_streams.h"
#include "kernels/base/mix.h"

namespace moe::golden {
namespace {

constexpr int shared_sign_stream = 12;

std::int32_t remainder(std::uint64_t mixed, Count divisor) {
  return static_cast<std::int32_t>(mixed % static_cast<std::uint64_t>(divisor));
}

}  // namespace

ExpertColumns columns_of(const OracleModel& model, int layer, int expert) {
  const bool is_shared = expert < 0;
  const Count e = is_shared ? layer : static_cast<Count>(layer) * model.num_experts + expert;
  const ExpertStreams& streams = is_shared ? shared_streams : routed_streams;
  const Count intermediate =
      is_shared ? model.intermediate_size * model.num_shared_experts : model.intermediate_size;
  const std::uint64_t signs =
      is_shared ? mix(model.seed, shared_sign_stream, e) : mix(model.seed, e);
  ExpertColumns columns;
  for (Count h = 0; h < model.hidden_size; ++h) {
    const bool is_even = mixed_with(signs, static_cast<std::uint64_t>(h)) % 2 == 0;
    columns.signs.push_back(is_even ? 1 : -1);
    if (model.kernel == ExpertKernel::probe) {
      columns.sources.push_back(static_cast<std::int32_t>(h));
      continue;
    }
    const std::int32_t i = remainder(mix(model.seed, streams.w2, e, h), intermediate);
    columns.sources.push_back(remainder(mix(model.seed, streams.w13, e, i), model.hidden_size));
  }
  return columns;
}

}  // namespace moe::golden
