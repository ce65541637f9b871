// Choices on an OpenCL device: looked up, sorted by local expert, counted, and the plans that are
// read from them.

#include "kernels/xpu/opencl_program.h"
#include "kernels/xpu/xpu_operators.h"

namespace moe::xpu {
namespace {

Count size(const Tensor& tensor) { return tensor.rows * tensor.columns; }

// The map as kernels take it: null where the ids are local already.
Tensor map_or_none(const Tensor& expert_map) {
  return expert_map.columns == 0 ? Tensor{} : expert_map;
}

// Choices sorted by a small key, equal keys in the order of the choices. num_keys stands for no
// key. LIFETIME: what it holds is given away when it ends, to whatever comes later in the queue.
class SortedChoices {
 public:
  SortedChoices(XpuMemory& memory, Count num_choices, int num_keys)
      : memory_(memory),
        num_choices_(num_choices),
        num_keys_(num_keys),
        keys_(memory, {num_choices, 1, DType::i32}),
        counts_(memory, {num_keys + 1, 1, DType::i32}),
        sorted_(memory, {num_choices, 1, DType::i32}),
        sorted_keys_(memory, {num_choices, 1, DType::i32}) {}

  // The owner fills it before it sorts.
  const Tensor& keys() const { return keys_.tensor(); }

  // first [num_keys + 1, 1] i32: where each key's choices start.
  void sort(const Tensor& first) {
    const Count num_counts = num_keys_ + Count{1};
    memory_.run({"moe_count_keys", num_counts}, keys(), num_choices_, counts());
    memory_.run({"moe_first_of_keys", 1}, counts(), static_cast<int>(num_counts), first);
    memory_.run({"moe_sort_choices", num_counts}, keys(), num_choices_, first, sorted(),
                sorted_keys());
  }

  const Tensor& counts() const { return counts_.tensor(); }
  const Tensor& sorted() const { return sorted_.tensor(); }
  const Tensor& sorted_keys() const { return sorted_keys_.tensor(); }

 private:
  XpuMemory& memory_;
  Count num_choices_;
  int num_keys_;
  Scratch keys_;
  Scratch counts_;
  Scratch sorted_;
  Scratch sorted_keys_;
};

}  // namespace

Count num_grouped_rows(XpuMemory& memory, const Tensor& first_row) {
  std::int32_t end = 0;
  memory.copy_to_host(rows_of(first_row, first_row.rows - 1, 1), {&end, 1, 1, DType::i32, {}});
  return end;
}

void local_ids(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const Tensor& local) {
  memory.run({"moe_local_ids", size(topk_ids)}, topk_ids, expert_map, expert_map.rows, local,
             memory.refusal());
}

void plan_rows(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const RowPlan& plan) {
  const auto num_local = static_cast<int>(plan.first_row.rows - 1);
  const Count num_choices = size(topk_ids);
  SortedChoices choices(memory, num_choices, num_local);
  memory.run({"moe_keys", num_choices}, topk_ids, map_or_none(expert_map), expert_map.rows,
             num_local, static_cast<int>(Refused::local_expert), choices.keys(), memory.refusal());
  choices.sort(plan.first_row);
  memory.run({"moe_plan_rows", num_choices}, choices.sorted(), choices.sorted_keys(), num_local,
             topk_ids.columns, plan.row_of, plan.source_of);
}

void moe_align_block_size(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                          const BlockAlignSettings& settings, const AlignedBlocks& blocks) {
  const Count num_choices = size(topk_ids);
  const int num_experts = settings.num_experts;
  memory.fill(blocks.sorted_token_ids, static_cast<std::uint32_t>(num_choices));
  memory.fill(blocks.expert_ids, 0xFFFFFFFFU);
  SortedChoices choices(memory, num_choices, num_experts);
  const Scratch first(memory, {num_experts + Count{1}, 1, DType::i32});
  const Scratch start(memory, {num_experts, 1, DType::i32});
  memory.run({"moe_keys", num_choices}, topk_ids, Tensor{}, Count{0}, num_experts,
             static_cast<int>(Refused::expert), choices.keys(), memory.refusal());
  choices.sort(first.tensor());
  memory.run({"moe_start_blocks", 1}, choices.counts(), num_experts, settings.block_size,
             map_or_none(expert_map), int{settings.foreign_experts == ForeignExperts::dropped},
             blocks.expert_ids, start.tensor(), blocks.num_tokens_post_pad);
  memory.run({"moe_place_in_blocks", num_choices}, choices.sorted(), choices.sorted_keys(),
             first.tensor(), num_experts, start.tensor(), blocks.sorted_token_ids);
}

void batched_moe_align_block_size(XpuMemory& memory, const BatchedBlocks& batched,
                                  const AlignedBlocks& blocks) {
  const Count num_experts = batched.expert_num_tokens.rows;
  const Count num_places = num_experts * batched.capacity;
  memory.fill(blocks.sorted_token_ids, static_cast<std::uint32_t>(num_places));
  memory.fill(blocks.expert_ids, 0xFFFFFFFFU);
  const Scratch fitting(memory, {num_experts, 1, DType::i32});
  const Scratch start(memory, {num_experts, 1, DType::i32});
  memory.run({"moe_fitting_counts", num_experts}, batched.expert_num_tokens, batched.capacity,
             fitting.tensor(), memory.refusal());
  memory.run({"moe_start_blocks", 1}, fitting.tensor(), static_cast<int>(num_experts),
             batched.block_size, Tensor{}, 0, blocks.expert_ids, start.tensor(),
             blocks.num_tokens_post_pad);
  memory.run({"moe_place_batched", num_places}, fitting.tensor(), batched.capacity, start.tensor(),
             blocks.sorted_token_ids);
}

void destination_ranks(XpuMemory& memory, const Tensor& topk_ids, const Tensor& rank_of_expert,
                       const Tensor& ranks) {
  memory.run({"moe_destination_ranks", topk_ids.rows}, topk_ids, topk_ids.columns, rank_of_expert,
             rank_of_expert.rows, ranks, memory.refusal());
}

void count_choices(XpuMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                   const Tensor& counts) {
  memory.fill(counts, 0);
  memory.run({"moe_count_choices", size(topk_ids)}, topk_ids, expert_map, expert_map.rows, counts,
             memory.refusal());
}

void replace_foreign_choices(XpuMemory& memory, const Routing& routing, const Tensor& expert_map,
                             std::int32_t replacement) {
  memory.run({"moe_replace_foreign", size(routing.topk_ids)}, routing.topk_ids,
             routing.topk_weights, expert_map, expert_map.rows, replacement, memory.refusal());
}

void cast_ids(XpuMemory& memory, const Tensor& ids, const Tensor& cast) {
  if (ids.dtype == DType::i32) return memory.run({"moe_widen_ids", size(ids)}, ids, cast);
  memory.run({"moe_narrow_ids", size(ids)}, ids, cast, memory.refusal());
}

}  // namespace moe::xpu
