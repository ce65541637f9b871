// The C++ oracle: what each output row must be, in double, by plain loops over rows grouped by
// expert. It shares no code with the layer it judges: base and the standard library only. sim hands
// it the inputs of one cell (a step, a layer, a rank) and compares what the layer returned.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/tensor.h"

namespace moe::golden {

enum class ExpertKernel { probe, exact_gemm };

// The experts of one layer of an exact world (numerics.md, 1).
struct OracleExperts {
  ExpertKernel kernel = ExpertKernel::probe;
  std::uint64_t seed = 0;
  int layer = 0;  // the trace's own number: experts count over layers
  int num_experts = 0;
  Count intermediate_size = 0;  // exact_gemm only
};

// The tokens of one cell. Views in host memory.
struct OracleTokens {
  Tensor hidden_states;  // [tokens, hidden_size], f64, f32, bf16 or f16
  Tensor topk_ids;       // [tokens, top_k] i32, -1 masked
  Tensor topk_weights;   // [tokens, top_k] f32
};

// RETURNS [tokens, hidden_size]: the weighted sum of the token's choices, not rounded. Sums start
// at +0, so no element is -0. Throws ContractError where shapes, types or ids are not as above.
std::vector<double> expected_rows(const OracleExperts& experts, const OracleTokens& tokens);

// Reads one row of a tensor in host memory: values [columns]. REQUIRES f64, f32, bf16 or f16.
void read_row(const Tensor& tensor, Count row, std::span<double> values);

}  // namespace moe::golden
