// Block alignment on a GPU: places sorted by expert, each expert's first block by a prefix sum over
// the experts. Every place is where the host's writer puts it.

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/sorted_choices.cuh"

namespace moe::cuda {
namespace {

struct Blocks {
  std::int32_t* sorted_token_ids;
  std::int32_t* expert_ids;
  std::int32_t* num_tokens_post_pad;
};

Blocks emptied(CudaMemory& memory, const AlignedBlocks& blocks, Count nothing) {
  memory.fill(blocks.sorted_token_ids, static_cast<std::uint32_t>(nothing));
  memory.fill(blocks.expert_ids, 0xFFFFFFFFU);
  return {device_elements<std::int32_t>(blocks.sorted_token_ids),
          device_elements<std::int32_t>(blocks.expert_ids),
          device_elements<std::int32_t>(blocks.num_tokens_post_pad)};
}

// What one expert has: its places, where they stand among the sorted ones, and its id in
// expert_ids.
struct Experts {
  const std::int32_t* first;       // of sorted places; null: counts says how many
  const std::int32_t* counts;      // of the batched format
  const std::int32_t* expert_map;  // null: every expert is here, under its own number
  bool drops_foreign;
  int num_experts;

  __device__ std::int32_t id(int expert) const {
    return expert_map == nullptr ? expert : expert_map[expert];
  }
  __device__ int count(int expert) const {
    if (drops_foreign && id(expert) < 0) return 0;
    return first == nullptr ? counts[expert] : first[expert + 1] - first[expert];
  }
};

// One warp: start[e] = the sum of the experts' lengths in whole blocks before e; their ids.
__global__ void start_blocks(Experts experts, int block_size, Blocks blocks, std::int32_t* start) {
  const int lane = static_cast<int>(threadIdx.x);
  int before = 0;
  for (int tile = 0; tile < experts.num_experts; tile += warp) {
    const int expert = tile + lane;
    const bool is_one = expert < experts.num_experts;
    const int own = is_one ? (experts.count(expert) + block_size - 1) / block_size : 0;
    int sum = own;
    for (int distance = 1; distance < warp; distance *= 2) {
      const int left = __shfl_up_sync(0xFFFFFFFFU, sum, distance);
      if (lane >= distance) sum += left;
    }
    const int first_block = before + sum - own;
    if (is_one) start[expert] = first_block * block_size;
    for (int block = 0; block < own; ++block) {
      blocks.expert_ids[first_block + block] = experts.id(expert);
    }
    before += __shfl_sync(0xFFFFFFFFU, sum, warp - 1);
  }
  if (lane == 0) *blocks.num_tokens_post_pad = before * block_size;
}

constexpr Grid one_warp{1, warp};

}  // namespace

void moe_align_block_size(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
                          const BlockAlignSettings& settings, const AlignedBlocks& blocks) {
  const auto* ids = device_elements<std::int32_t>(topk_ids);
  const Count num_choices = topk_ids.rows * topk_ids.columns;
  const int num_experts = settings.num_experts;
  const Blocks to = emptied(memory, blocks, num_choices);
  SortedChoices choices(memory, num_choices, num_experts);
  std::int32_t* keys = choices.keys();
  Refusal* refusal = memory.refusal();
  for_each(memory.queue(), num_choices, [=] __device__(Count i) {
    const std::int32_t id = ids[i];
    if (id >= num_experts) refuse(refusal, {Refused::expert, 0, id, num_experts});
    keys[i] = id < 0 || id >= num_experts ? num_experts : id;
  });
  choices.sort();
  const Scratch<std::int32_t> first(memory, num_experts + Count{1});
  choices.write_first(first.data());
  const Scratch<std::int32_t> start(memory, num_experts);
  const Experts experts{
      first.data(), nullptr,
      expert_map.columns == 0 ? nullptr : device_elements<std::int32_t>(expert_map),
      settings.foreign_experts == ForeignExperts::dropped, num_experts};
  launch(memory.queue(), one_warp, start_blocks, experts, settings.block_size, to, start.data());
  const std::int32_t* sorted_keys = choices.sorted_keys();
  const std::int32_t* sorted = choices.sorted();
  const std::int32_t* starts = start.data();
  for_each(memory.queue(), num_choices, [=] __device__(Count i) {
    const int expert = sorted_keys[i];
    if (expert >= num_experts || experts.count(expert) == 0) return;
    to.sorted_token_ids[starts[expert] + i - experts.first[expert]] = sorted[i];
  });
}

void batched_moe_align_block_size(CudaMemory& memory, const BatchedBlocks& batched,
                                  const AlignedBlocks& blocks) {
  const auto num_experts = static_cast<int>(batched.expert_num_tokens.rows);
  const Count capacity = batched.capacity;
  const auto* counts = device_elements<std::int32_t>(batched.expert_num_tokens);
  const Blocks to = emptied(memory, blocks, num_experts * capacity);
  Refusal* refusal = memory.refusal();
  const Scratch<std::int32_t> fitting(memory, num_experts);
  std::int32_t* fits = fitting.data();
  for_each(memory.queue(), num_experts, [=] __device__(Count expert) {
    const bool is_right = counts[expert] >= 0 && counts[expert] <= capacity;
    if (!is_right) {
      refuse(refusal, {Refused::full_expert, static_cast<int>(expert), counts[expert], capacity});
    }
    fits[expert] = is_right ? counts[expert] : 0;
  });
  const Scratch<std::int32_t> start(memory, num_experts);
  const Experts experts{nullptr, fits, nullptr, false, num_experts};
  launch(memory.queue(), one_warp, start_blocks, experts, batched.block_size, to, start.data());
  const std::int32_t* starts = start.data();
  for_each(memory.queue(), num_experts * capacity, [=] __device__(Count place) {
    const Count expert = place / capacity;
    const Count slot = place % capacity;
    if (slot >= fits[expert]) return;
    to.sorted_token_ids[starts[expert] + slot] = static_cast<std::int32_t>(place);
  });
}

}  // namespace moe::cuda
