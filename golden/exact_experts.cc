// Tables of exact experts from mix. The streams' numbers are those of oracle.py.
// A probe passes column h itself; exact_gemm takes row h of W2 to one intermediate, and that one's
// row of W13 to one input column.

#include "golden/exact_experts.h"

#include "kernels/base/mix.h"

namespace moe::golden {
namespace {

// First indices of a mix: what it is for.
struct Streams {
  int w13 = 3;
  int w2 = 4;
};
constexpr Streams routed;
constexpr Streams shared{.w13 = 10, .w2 = 11};
constexpr int shared_sign_stream = 12;

std::int32_t remainder(std::uint64_t mixed, Count divisor) {
  return static_cast<std::int32_t>(mixed % static_cast<std::uint64_t>(divisor));
}

}  // namespace

ExpertColumns columns_of(const OracleModel& model, int layer, int expert) {
  const bool is_shared = expert < 0;
  const Count e = is_shared ? layer : static_cast<Count>(layer) * model.num_experts + expert;
  const Streams streams = is_shared ? shared : routed;
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
