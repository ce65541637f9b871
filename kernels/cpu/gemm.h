// The products of the host, behind one table per library so that a build chooses files, not
// branches. Libraries promise no order of additions: results are judged by bounds, or exactly in
// exact worlds.

#pragma once

#include "kernels/base/buffer.h"

namespace moe::cpu {

// multiply: out [m, n] = rows [m, k] · weight [n, k] transposed + bias [1, n], all of one type
// (bf16, f16 or f32), accumulated in fp32, the bias added there, one rounding, on the calling
// thread. A null bias adds nothing. multiply is null where a build has no library.
struct Product {
  Tensor rows;
  Tensor weight;
  Tensor bias;
};

struct GemmLibrary {
  const char* name;
  void (*multiply)(const Product& product, const Tensor& out, Memory& memory);
  const char* absence;
};

extern const GemmLibrary onednn_gemm;

}  // namespace moe::cpu
