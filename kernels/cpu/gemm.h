// The products of the host, behind one table per library so that a build chooses files, not
// branches. Libraries promise no order of additions: results are judged by bounds, or exactly in
// exact worlds.

#pragma once

#include <memory>

#include "kernels/base/buffer.h"

namespace moe::cpu {

// Weights of equal shape, one after another: weights [count * n, k] and their biases [count, n], or
// no bias.
struct WeightStack {
  Buffer weights;
  Buffer bias;
  Count count = 0;
};

// A stack of weights in the library's own layout.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;

  // out [m, n] = rows [m, k] · weights[index] transposed + bias[index], all of one type (bf16, f16
  // or f32), accumulated in fp32, the bias added there, one rounding, on the calling thread.
  // A row's result does not depend on the rows beside it: promised to the byte for bf16, f16 and
  // f32 (numerics.md, 4; gemm_test.cc holds oneDNN to it).
  virtual void multiply(Count index, const Tensor& rows, const Tensor& out) = 0;
};

// pack takes the weights over and frees their plain form. It is null where a build has no library,
// and absence says why.
struct GemmLibrary {
  const char* name;
  std::unique_ptr<PackedWeights> (*pack)(WeightStack stack, Memory& memory);
  const char* absence;
};

extern const GemmLibrary onednn_gemm;

}  // namespace moe::cpu
