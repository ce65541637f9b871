// Plans of rows by counting, as row_plan_cuda.cu makes them, and the slot of a choice, which plans
// by sorting read too. permute_cuda.cu chooses between the two.

#pragma once

#include "kernels/cuda/cuda_memory.cuh"
#include "kernels/kernels.h"

namespace moe::cuda {

// The local expert of each choice; num_local of a masked or foreign one, so that it comes last.
struct LocalSlot {
  const std::int32_t* map;  // null: ids are local already
  Count num_experts;        // of the map
  int num_local;
  Refusal* refusal;

  __device__ int operator()(std::int32_t id) const {
    if (id < 0) return num_local;
    if (map == nullptr) {
      if (id < num_local) return id;
      refuse(refusal, {Refused::local_expert, 0, id, num_local});
      return num_local;
    }
    if (id >= num_experts) {
      refuse(refusal, {Refused::expert, 0, id, num_experts});
      return num_local;
    }
    return map[id] < 0 ? num_local : map[id];
  }
};

// Whether a block has room for the counts of so many experts.
bool can_plan_by_counting(int num_experts);

// REQUIRES that it can.
void plan_by_counting(CudaMemory& memory, const Tensor& topk_ids, const LocalSlot& slot_of,
                      const RowPlan& plan);

}  // namespace moe::cuda
