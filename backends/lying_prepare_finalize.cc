// One class, and the two lies that most faults are.
// Nothing here knows what is wrong.

#include "backends/lying_prepare_finalize.h"

#include <utility>

namespace moe {
namespace {

class LyingPrepareFinalize final : public PrepareFinalize {
 public:
  LyingPrepareFinalize(std::unique_ptr<PrepareFinalize> inner, PrepareFinalizeLies lies)
      : inner_(std::move(inner)), lies_(std::move(lies)) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    if (!lies_.prepare) return inner_->prepare(hidden_states, routing, tokens);
    return lies_.prepare(*inner_, hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    if (!lies_.finalize) return inner_->finalize(expert_output, std::move(dispatched), output);
    lies_.finalize(*inner_, expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
  PrepareFinalizeLies lies_;
};

}  // namespace

std::unique_ptr<PrepareFinalize> lying(std::unique_ptr<PrepareFinalize> inner,
                                       PrepareFinalizeLies lies) {
  return std::make_unique<LyingPrepareFinalize>(std::move(inner), std::move(lies));
}

std::unique_ptr<PrepareFinalize> with_spoiled_dispatch(
    std::unique_ptr<PrepareFinalize> inner, std::function<void(Dispatched& dispatched)> spoil) {
  return lying(std::move(inner),
               {.prepare = [spoil = std::move(spoil)](PrepareFinalize& healthy, const Tensor& rows,
                                                      const Routing& routing, RowCounts tokens) {
                 Dispatched dispatched = healthy.prepare(rows, routing, tokens);
                 spoil(dispatched);
                 return dispatched;
               }});
}

std::unique_ptr<PrepareFinalize> with_spoiled_output(
    std::unique_ptr<PrepareFinalize> inner, std::function<void(const Tensor& output)> spoil) {
  return lying(std::move(inner), {.finalize = [spoil = std::move(spoil)](
                                                  PrepareFinalize& healthy, const Tensor& rows,
                                                  Dispatched dispatched, const Tensor& output) {
                 healthy.finalize(rows, std::move(dispatched), output);
                 spoil(output);
               }});
}

}  // namespace moe
