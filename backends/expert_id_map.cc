// The healthy map: one look-up for each choice, in the rank's own memory.
// The table is copied there once.

#include "backends/expert_id_map.h"

namespace moe {
namespace {

class TableOfSlots final : public ExpertIdMap {
 public:
  TableOfSlots(Kernels& kernels, const std::vector<int>& expert_map) : kernels_(kernels) {
    std::vector<std::int32_t> slots(expert_map.begin(), expert_map.end());
    slots_ = copy_of({slots.data(), static_cast<Count>(slots.size()), 1, DType::i32, {}},
                     kernels.memory());
  }

  RoutingBuffers local_ids(const Routing& dispatched) override {
    MOE_CHECK(dispatched.space != IdSpace::local, "ids that are local already are mapped again");
    return {.topk_ids = kernels_.local_ids(dispatched.topk_ids, slots_.tensor()),
            .topk_weights = {},
            .space = IdSpace::local};
  }

 private:
  Kernels& kernels_;
  Buffer slots_;
};

}  // namespace

std::unique_ptr<ExpertIdMap> make_expert_id_map(Kernels& kernels,
                                                const std::vector<int>& expert_map) {
  return std::make_unique<TableOfSlots>(kernels, expert_map);
}

}  // namespace moe
