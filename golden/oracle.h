// The C++ oracle: what each output row must be, in double, by plain loops over rows grouped by
// expert, and in real worlds how far from it a correct layer may be. It shares no code with the
// layer it judges: base and the standard library only. sim hands it the inputs of one cell (a step,
// a layer, a rank) and compares what the layer returned. golden/oracle.py is the same in numpy, and
// its docstring is the contract of both.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "golden/roundoff.h"
#include "kernels/base/activation.h"
#include "kernels/base/tensor.h"

namespace moe::golden {

enum class ExpertKernel { probe, exact_gemm, real };

// How real experts quantise, by the recipes' names (quantise.h); empty: they do not. given: the
// scale of a static recipe, the global scale of nvfp4. Weights have global scales 448 · 6 / amax in
// fp32, of each matrix its own; halves of w13 share no block; uint weights have groups of 128, f16
// scales.
struct ExpertQuantisation {
  std::string_view weights = "";
  std::string_view a1 = "";
  std::string_view a2 = "";
  float a1_given = 0;
  float a2_given = 0;
  ActivationRounding rounding = ActivationRounding::each;  // before a2
};

// Everything of a world that decides its experts (numerics.md, 1 and 2).
struct OracleModel {
  ExpertKernel kernel = ExpertKernel::probe;
  std::uint64_t seed = 0;
  int num_experts = 0;
  Count hidden_size = 0;
  Count intermediate_size = 0;  // of one expert; probes have none
  int num_shared_experts = 0;
  DType dtype = DType::bf16;                 // of rows and weights
  Activation activation = Activation::silu;  // real only
  bool has_bias = false;                     // real only
  double scale = 1;                          // of the routed sum; f16 with shared experts divides
                                             // those by it instead
  bool router_weight_on_input = false;
  bool is_sharded = false;  // ranks of a TP group hold parts of an expert, and round their parts
  ExpertQuantisation quantisation = {};  // real only; not of shared experts
};

// The tokens of one cell. Views in host memory.
struct OracleTokens {
  Tensor hidden_states;  // [tokens, hidden_size], f64, f32, bf16 or f16
  Tensor topk_ids;       // [tokens, top_k] i32, -1 masked
  Tensor topk_weights;   // [tokens, top_k] f32
};

// Where all rows that a rank has share one scale (fp8_dynamic_tensor): which ranks hold experts,
// and which rows come to a rank: all of a step, or those that chose one of its experts.
struct ExpertHomes {
  std::vector<int> rank_of;  // of each expert
  bool has_every_row = false;

  bool operator==(const ExpertHomes&) const = default;
};

// Of the rank that holds an expert: the scale of the rows that come to it, and the largest scale
// that what stands between its products may get.
struct TensorScale {
  float rows = 0;
  double between = 0;
};

// What a cell's rows must be, row-major [tokens, hidden_size]. In exact worlds there are values
// only, and they must be met.
struct Expected {
  std::vector<double> values;           // not rounded; sums start at +0, so no element is -0
  std::vector<double> errors = {};      // of the experts' own arithmetic, weighted
  std::vector<double> magnitudes = {};  // sums of absolute weighted outputs
  Roundoff roundoff = {};
  Count num_additions = 0;  // of a token's choices
  bool is_sharded = false;  // then bounds are wider than a golden's

  bool has_bounds() const { return !errors.empty(); }

  // How far a correct layer may be from values[i] if it rounds a sum of expert outputs at most
  // num_roundings times on its way home: once a stage of its recipe, once a later step.
  double bound(std::size_t i, int num_roundings) const;
};

class Oracle {
 public:
  explicit Oracle(const OracleModel& model);
  ~Oracle();

  // layer: the trace's own number, since experts count over layers. scales: as tensor_scales says,
  // where a recipe needs them. Throws ContractError where shapes, types or ids are not as above.
  // THREAD: safe; experts are made once and shared.
  Expected expected(int layer, const OracleTokens& tokens,
                    std::span<const TensorScale> scales = {}) const;

  // Of each expert's rank, from all tokens of a step; empty where no recipe has a scale of a whole
  // tensor.
  std::vector<TensorScale> tensor_scales(int layer, const OracleTokens& all,
                                         const ExpertHomes& homes) const;

  // One expert's outputs for rows [n, hidden_size], neither weighted nor scaled; expert -1 is the
  // layer's shared one.
  std::vector<double> outputs(int layer, int expert, const Tensor& rows,
                              std::span<const TensorScale> scales = {}) const;

  // What stands between a routed expert's products for rows [n, hidden_size], before it is
  // quantised or rounded. REQUIRES a real world.
  std::vector<double> activated(int layer, int expert, const std::vector<double>& rows,
                                std::span<const TensorScale> scales = {}) const;

 private:
  class Experts;
  OracleModel model_;
  std::unique_ptr<Experts> experts_;
};

// Reads one row of a tensor in host memory: values [columns]. REQUIRES f64, f32, bf16 or f16.
void read_row(const Tensor& tensor, Count row, std::span<double> values);

}  // namespace moe::golden
