// Activations on the host, row by row, by the fastest loops of this processor. What they compute
// and where they round is row_loops_body.h. Called by the experts with products.

#include <vector>

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/row_loops.h"

namespace moe::cpu {

void activate(Activation activation, const Tensor& inner, const Tensor& out) {
  const RowLoops& loops = row_loops();
  for (Count row = 0; row < out.rows; ++row) {
    loops.activate(activation, out.dtype, row_at(inner, row), row_at(out, row), out.columns);
  }
}

void activate_fused(Activation activation, const Tensor& inner, const Tensor& out) {
  const RowLoops& loops = row_loops();
  std::vector<float> wide(static_cast<std::size_t>(inner.columns));
  std::vector<float> activated(static_cast<std::size_t>(out.columns));
  for (Count row = 0; row < out.rows; ++row) {
    for_row_type(inner.dtype, [&](auto element) {
      const auto* from = reinterpret_cast<const decltype(element)*>(row_at(inner, row));
      for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = to_float(from[i]);
    });
    loops.activate(activation, DType::f32, wide.data(), activated.data(), out.columns);
    for_row_type(out.dtype, [&](auto element) {
      auto* to = reinterpret_cast<decltype(element)*>(row_at(out, row));
      for (std::size_t i = 0; i < activated.size(); ++i) round_to(activated[i], to[i]);
    });
  }
}

}  // namespace moe::cpu
