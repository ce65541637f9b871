// Activations on the host, row by row, by the fastest loops of this processor. What they compute
// and where they round is row_loops_body.h. Called by the experts with products.

#include "kernels/cpu/cpu_operators.h"
#include "kernels/cpu/row_loops.h"

namespace moe::cpu {

void activate(Activation activation, const Tensor& inner, const Tensor& out) {
  const RowLoops& loops = row_loops();
  for (Count row = 0; row < out.rows; ++row) {
    loops.activate(activation, out.dtype, row_at(inner, row), row_at(out, row), out.columns);
  }
}

}  // namespace moe::cpu
