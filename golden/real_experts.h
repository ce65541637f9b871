// The experts of real worlds: their weights, their outputs in double, and how far a correct expert
// may be from them (experts-and-oracles.md, 14.2). Used by oracle.cc.

#pragma once

#include <optional>
#include <vector>

#include "golden/oracle.h"

namespace moe::golden {

// One expert's weights in the model's dtype, or as the f64 numbers that their codes stand for.
struct RealExpert {
  Count hidden_size = 0;
  Count intermediate_size = 0;
  DType dtype = DType::bf16;
  DType weight_dtype = DType::bf16;
  ExpertQuantisation quantisation = {};
  std::vector<std::byte> w13;       // [intermediate * w13_rows_each, hidden]
  std::vector<std::byte> w2;        // [hidden, intermediate]
  std::vector<std::byte> w13_bias;  // empty: none
  std::vector<std::byte> w2_bias;
};

// expert: -1 for the layer's shared one, which has no bias.
RealExpert real_expert(const OracleModel& model, int layer, int expert);

// Outputs of an expert [n, hidden], how far a computed one may be from each, and how large all of
// its parts together may be: of a whole expert its absolute value.
struct ExpertOutput {
  std::vector<double> values;
  std::vector<double> errors;
  std::vector<double> magnitudes;
};

// Whether an expert is computed by one rank, or in parts that are rounded and then summed.
enum class Parts { whole, sharded };

// Rows as they come to an expert, doubles [n, hidden]. scale: where its recipes have one of a whole
// tensor, which these rows do not show.
struct ExpertRows {
  const std::vector<double>& values;
  std::optional<TensorScale> scale = {};
};

// RETURNS the outputs of an expert, and how far one that computes in the dtype, with fp32 sums and
// a rounding after each step, may be from each. Throws ContractError where a scale is missing.
ExpertOutput expert_output(const RealExpert& expert, Activation activation, Parts parts,
                           const ExpertRows& rows);

// The largest magnitude that what stands between an expert's products may have for these rows.
double largest_activated(const RealExpert& expert, Activation activation, const ExpertRows& rows);

// What stands between them, [n, intermediate], neither quantised nor rounded.
std::vector<double> activated_rows(const RealExpert& expert, Activation activation,
                                   const ExpertRows& rows);

// Whether a scale of a whole tensor is among an expert's recipes.
bool has_tensor_scale(const ExpertQuantisation& quantisation);

}  // namespace moe::golden
