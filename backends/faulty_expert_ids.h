// Decorators that spoil ids, for seeded faults (fault-catalogue.md, F5 and F6): a router that
// chooses twice, and maps to local ids that are skipped, read past their end or cut short. Made by
// the program when a run asks for a fault.

#pragma once

#include <vector>

#include "backends/expert_id_map.h"
#include "backends/moe_layer.h"

namespace moe {

// Ids in host memory, and back into a new buffer of the shape of like.
std::vector<std::int32_t> ids_on_host(Memory& memory, const Tensor& ids);
Buffer ids_in(Memory& memory, std::vector<std::int32_t>& ids, const Tensor& like);

// MF-24: the second choice of every token is its first once more (vllm#39391).
std::unique_ptr<Router> with_duplicate_choices(std::unique_ptr<Router> inner, Memory& memory);

// MF-16: global ids go where local ones belong; those that no slot has are dropped, as kernels with
// a bounds check do (vllm-gaudi#1796).
std::unique_ptr<ExpertIdMap> with_map_skipped(std::unique_ptr<ExpertIdMap> inner, Memory& memory,
                                              int num_local_experts);

// MF-20: -1 as an index reads the last entry of the map (vllm#42034).
std::unique_ptr<ExpertIdMap> with_masked_wrapped(std::unique_ptr<ExpertIdMap> inner, Memory& memory,
                                                 int last_slot);

// MF-23: of each block of an expert's rows only the first is kept (vllm-xpu-kernels#453).
std::unique_ptr<ExpertIdMap> with_first_of_block(std::unique_ptr<ExpertIdMap> inner, Memory& memory,
                                                 int block_size);

}  // namespace moe
