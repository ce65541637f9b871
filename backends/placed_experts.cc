// The version of the placement says whether what was made is still what is in force.
// vLLM writes into the parameters instead; kernels here may have packed theirs.

#include "backends/placed_experts.h"

#include <utility>

#include "backends/placement/expert_rows.h"

namespace moe {
namespace {

class PlacedExperts final : public Experts {
 public:
  PlacedExperts(const LayerPlacement& placement, ExpertsMaker make, Memory& memory)
      : placement_(placement), make_(std::move(make)), memory_(memory) {}

  Tensor apply(Dispatched& dispatched) override {
    if (made_ == nullptr || version_ != placement_.version()) {
      made_ = make_(copy_of_weights(placement_.weights(), memory_));
      version_ = placement_.version();
    }
    return made_->apply(dispatched);
  }

 private:
  const LayerPlacement& placement_;
  ExpertsMaker make_;
  Memory& memory_;
  std::unique_ptr<Experts> made_;
  int version_ = 0;
};

}  // namespace

std::unique_ptr<Experts> make_placed_experts(const LayerPlacement& placement, ExpertsMaker make,
                                             Memory& memory) {
  return std::make_unique<PlacedExperts>(placement, std::move(make), memory);
}

}  // namespace moe
