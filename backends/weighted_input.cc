// The decorator: what vLLM's prepare functions each do by themselves, once.
// Made where a layer is put together.

#include "backends/weighted_input.h"

#include <utility>

namespace moe {
namespace {

class WeightedInput final : public PrepareFinalize {
 public:
  WeightedInput(std::unique_ptr<PrepareFinalize> inner, Kernels& kernels)
      : inner_(std::move(inner)), kernels_(kernels) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    MOE_CHECK(routing.is_selected() && routing.topk_ids.columns == 1,
              "a weight on the input needs one choice a token, made before dispatch");
    Buffer weighted = kernels_.weight_rows(hidden_states, routing.topk_weights);
    Dispatched dispatched = inner_->prepare(weighted.tensor(), routing, tokens);
    dispatched.handle.keep(std::move(weighted));  // dispatched rows may be these
    return dispatched;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  Kernels& kernels_;
};

}  // namespace

std::unique_ptr<PrepareFinalize> with_weighted_input(std::unique_ptr<PrepareFinalize> inner,
                                                     Kernels& kernels) {
  return std::make_unique<WeightedInput>(std::move(inner), kernels);
}

}  // namespace moe
