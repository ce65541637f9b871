// The standard format's experts: plan, permute, compute, weight_and_reduce.
// A rank without rows and an expert without rows are loops of zero turns.

#include "backends/standard_experts.h"

#include <utility>

namespace moe {
namespace {

// No map: plan_rows takes the ids as they are.
constexpr Tensor ids_are_local = {};

class StandardExperts final : public Experts {
 public:
  StandardExperts(const ExpertsConfig& config, ExpertWeights weights,
                  std::unique_ptr<ExpertIdMap> id_map)
      : kernels_(config.kernels),
        quantization_(config.quantization),
        num_local_experts_(config.num_local_experts),
        sums_(config),
        compute_(config, std::move(weights)),
        id_map_(std::move(id_map)) {}

  Tensor apply(Dispatched& dispatched) override {
    const RoutingBuffers local = id_map_->local_ids(dispatched.routing);
    MOE_CHECK(local.space == IdSpace::local, "rows are grouped by local expert");
    const RowPlanBuffers plan =
        kernels_.plan_rows(local.topk_ids.tensor(), ids_are_local, num_local_experts_);
    const Buffer computed = outputs(dispatched, plan);
    return summed_choices(sums_, dispatched, computed.tensor(), plan.row_of.tensor());
  }

 private:
  // Of each grouped row.
  Buffer outputs(const Dispatched& dispatched, const RowPlanBuffers& plan) {
    if (!dispatched.is_quantized()) {
      return compute_(
          kernels_.permute(dispatched.hidden_states, plan.view(), compute_.grouped_rows()),
          plan.first_row.tensor());
    }
    const RegroupedRows rows = regrouped(
        dispatched, quantization_, ActivationFormat::standard, kernels_, [&](const Tensor& given) {
          return kernels_.permute(given, plan.view(), compute_.grouped_rows());
        });
    return compute_(rows.view, plan.first_row.tensor());
  }

  Kernels& kernels_;
  RowQuantization quantization_;
  int num_local_experts_;
  ChoiceSums sums_;
  GroupedExperts compute_;
  std::unique_ptr<ExpertIdMap> id_map_;
};

}  // namespace

GroupedExperts::GroupedExperts(const ExpertsConfig& config, ExpertWeights weights)
    : kernels_(config.kernels), dtype_(config.dtype) {
  auto* gemm = std::get_if<GemmWeights>(&weights);
  if (gemm == nullptr) {
    signs_ = std::move(std::get<ProbeWeights>(weights).signs);
    return;
  }
  const ExpertQuantization& own = config.own_quantization;
  if (own.weights == QuantRecipe::none || config.num_local_experts == 0) {
    gemm_ = kernels_.gemm_experts(std::move(*gemm), config.num_local_experts);
    return;
  }
  const auto unwatched = make_weight_quantizer(kernels_);
  const auto looks_at_all = [](QuantRecipe recipe) {
    return depends_on_all_rows(recipe_row(recipe));
  };
  if (looks_at_all(config.quantization.recipe) || looks_at_all(own.between)) {
    grouped_rows_ = GroupedRows::counted;
  }
  WeightQuantizer& quantizer =
      config.weight_quantizer != nullptr ? *config.weight_quantizer : *unwatched;
  QuantizedGemmWeights codes =
      quantizer.quantized(std::move(*gemm), own.weights, config.num_local_experts);
  codes.a1 = {config.quantization.recipe,
              static_scale(config.quantization.recipe, config.quantization.scale, kernels_)};
  codes.a2 = {own.between, static_scale(own.between, own.between_scale, kernels_)};
  codes.rounding = own.rounding;
  quantized_ = kernels_.quantized_experts(std::move(codes), config.num_local_experts);
}

Buffer GroupedExperts::operator()(Buffer rows, const Tensor& first_row) {
  if (quantized_ != nullptr) return quantized_->apply(rows.tensor(), first_row);
  if (gemm_ != nullptr) return gemm_->apply(rows.tensor(), first_row);
  kernels_.probe_experts(rows.tensor(), first_row, signs_.tensor());
  return rows;
}

Buffer GroupedExperts::operator()(const QuantizedRows& rows, const Tensor& first_row) {
  if (rows.data.rows == 0) {  // nor is there a scale that came with one
    return Buffer(kernels_.memory(), {0, rows.layout.columns, dtype_});
  }
  if (quantized_ != nullptr) return quantized_->apply_quantized(rows, first_row);
  return (*this)(kernels_.dequantize(rows, dtype_), first_row);
}

Tensor summed_choices(const ChoiceSums& sums, Dispatched& dispatched, const Tensor& outputs,
                      const Tensor& row_of) {
  const Tensor& weights = dispatched.routing.topk_weights;
  const Tensor rows = dispatched.handle.keep_workspace(
      Buffer(sums.memory, {dispatched.hidden_states.rows, dispatched.columns(), outputs.dtype}));
  if (sums.router_weight == RouterWeight::on_output) {
    sums.kernels.weight_and_reduce(outputs, row_of, weights, rows);
    return rows;
  }
  const Buffer ones = weights_of_one(weights, sums.kernels.memory());
  sums.kernels.weight_and_reduce(outputs, row_of, ones.tensor(), rows);
  return rows;
}

std::unique_ptr<Experts> make_standard_experts(const ExpertsConfig& config, ExpertWeights weights,
                                               std::unique_ptr<ExpertIdMap> id_map) {
  if (id_map == nullptr) id_map = make_expert_id_map(config.kernels, config.expert_map);
  return std::make_unique<StandardExperts>(config, std::move(weights), std::move(id_map));
}

}  // namespace moe
