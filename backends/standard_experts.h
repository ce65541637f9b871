// Experts for the standard format: group the dispatched rows by local expert, compute, weight and
// sum this rank's choices (vLLM: TritonExperts' permute, experts, unpermute). No rank but this one
// exists.

#pragma once

#include <variant>
#include <vector>

#include "backends/expert_id_map.h"
#include "backends/moe_layer.h"
#include "backends/quantized_weights.h"
#include "backends/row_quantization.h"
#include "kernels/kernels.h"

namespace moe {

// Experts that flip signs by column: exact in every order of additions (numerics.md, 1).
struct ProbeWeights {
  Buffer signs;  // [num_local_experts, hidden_size] i8
};

// Signs, or the weights of two products with an activation between them (kernels.h).
using ExpertWeights = std::variant<ProbeWeights, GemmWeights>;

// Where a choice's router weight is applied, once: to the expert's output, or before dispatch to
// its input (weighted_input.h).
enum class RouterWeight { on_output, on_input };

struct ExpertsConfig {
  Kernels& kernels;
  std::vector<int> expert_map;  // of each global expert its slot on this rank, -1 elsewhere
  int num_local_experts = 0;
  RouterWeight router_weight = RouterWeight::on_output;
  DType dtype = DType::bf16;          // of what experts give back
  RowQuantization quantization = {};  // in which rows come
  ExpertQuantization own_quantization = {};
  WeightQuantizer* weight_quantizer = nullptr;  // while experts are made; null: one of their own
  Memory* expert_output = nullptr;  // where the rows that they give back lie; null: kernels' memory
};

// A rank's experts on rows that are grouped by them.
class GroupedExperts {
 public:
  GroupedExperts(const ExpertsConfig& config, ExpertWeights weights);

  // How rows may come: only where codes have a scale of all rows does somebody look at those behind
  // first_row's end.
  GroupedRows grouped_rows() const { return grouped_rows_; }

  // first_row as in RowPlan. RETURNS the experts' outputs.
  Buffer operator()(Buffer rows, const Tensor& first_row);

  // The same for codes, whose scales belong to a row each, or to all.
  Buffer operator()(const QuantizedRows& rows, const Tensor& first_row);

 private:
  Kernels& kernels_;
  DType dtype_;
  GroupedRows grouped_rows_ = GroupedRows::bounded;
  Buffer signs_;
  std::unique_ptr<GemmExperts> gemm_;                // null: probes, or codes
  std::unique_ptr<QuantizedGemmExperts> quantized_;  // null: weights are no codes
};

// How a rank sums choices, and where the sums lie.
struct ChoiceSums {
  explicit ChoiceSums(const ExpertsConfig& config)
      : kernels(config.kernels),
        router_weight(config.router_weight),
        memory(config.expert_output == nullptr ? config.kernels.memory() : *config.expert_output) {}

  Kernels& kernels;
  RouterWeight router_weight;
  Memory& memory;
};

// Each dispatched row's choices on this rank, weighted where their inputs were not and summed in k
// order. outputs [n, hidden], row_of as in RowPlan. RETURNS [dispatched rows, hidden], which the
// handle keeps.
Tensor summed_choices(const ChoiceSums& sums, Dispatched& dispatched, const Tensor& outputs,
                      const Tensor& row_of);

// id_map: null: one of the config's own.
std::unique_ptr<Experts> make_standard_experts(const ExpertsConfig& config, ExpertWeights weights,
                                               std::unique_ptr<ExpertIdMap> id_map = nullptr);

}  // namespace moe
