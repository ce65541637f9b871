// Plans of rows by counting: each block counts the choices of its part for each expert, prefix sums
// over experts, and over blocks within one, say where each block's rows of an expert start, and the
// blocks place them in order. No place depends on who comes first. Few choices are one block's
// work.

#include <algorithm>

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_plan.cuh"

namespace moe::cuda {
namespace {

constexpr int block_threads = 512;
constexpr int warps = block_threads / warp;
constexpr Count choices_a_warp_max = 256;
constexpr unsigned all_lanes = 0xFFFFFFFFU;

// What every kernel of a plan reads.
struct PlanCall {
  const std::int32_t* ids;
  LocalSlot slot_of;
  Count num_choices;
  int num_experts;
  int top_k;
  int blocks;
  Count choices_a_warp;  // a multiple of 32
  std::int32_t* starts;  // [experts, blocks]: counts, then where the block's rows of each start
  std::int32_t* first_row;
  std::int32_t* row_of;
  std::int32_t* source_of;
};

// A warp's choices: a part of the block's.
struct WarpPart {
  Count begin;
  Count end;

  __device__ explicit WarpPart(const PlanCall& call) {
    const int warp_id = static_cast<int>(threadIdx.x) / warp;
    begin = (static_cast<Count>(blockIdx.x) * warps + warp_id) * call.choices_a_warp;
    end = min(begin + call.choices_a_warp, call.num_choices);
  }
};

// function(choice, slot, lanes with the same) for 32 choices after another, by all lanes; the slot
// of a choice that is not there, or not here, is num_experts.
template <typename Function>
__device__ void for_each_choice(const PlanCall& call, const WarpPart& part, Function function) {
  const int lane = static_cast<int>(threadIdx.x) % warp;
  for (Count first = part.begin; first < part.end; first += warp) {
    const Count choice = first + lane;
    const int slot = choice < part.end ? call.slot_of(call.ids[choice]) : call.num_experts;
    const unsigned same = __match_any_sync(all_lanes, slot);
    function(choice, slot, same);
    __syncwarp();
  }
}

__device__ inline int rank_among(unsigned lanes) {
  const unsigned below = (1U << (threadIdx.x % warp)) - 1U;
  return __popc(lanes & below);
}

// counts [warps, experts] in shared memory: of each warp's part.
__device__ void count_parts(const PlanCall& call, std::int32_t* counts) {
  for (int i = static_cast<int>(threadIdx.x); i < warps * call.num_experts; i += block_threads) {
    counts[i] = 0;
  }
  __syncthreads();
  std::int32_t* own = counts + static_cast<int>(threadIdx.x) / warp * call.num_experts;
  for_each_choice(call, WarpPart(call), [&](Count, int slot, unsigned same) {
    if (slot < call.num_experts && rank_among(same) == 0) own[slot] += __popc(same);
  });
  __syncthreads();
}

// counts becomes, of each warp and expert, the rows before among the block's of that expert.
// RETURNS the expert's rows in the block.
__device__ int sum_over_warps(const PlanCall& call, std::int32_t* counts, int expert) {
  int sum = 0;
  for (int w = 0; w < warps; ++w) {
    const int own = counts[w * call.num_experts + expert];
    counts[w * call.num_experts + expert] = sum;
    sum += own;
  }
  return sum;
}

// Exclusive prefix sums of the block's threads' values; sum: of all.
__device__ int sum_before(int value, int& sum) {
  __shared__ std::int32_t of_warps[warps];
  const int lane = static_cast<int>(threadIdx.x) % warp;
  const int warp_id = static_cast<int>(threadIdx.x) / warp;
  int up_to = value;
  for (int distance = 1; distance < warp; distance *= 2) {
    const int left = __shfl_up_sync(all_lanes, up_to, distance);
    if (lane >= distance) up_to += left;
  }
  __syncthreads();  // of the call before
  if (lane == warp - 1) of_warps[warp_id] = up_to;
  __syncthreads();
  int before = 0;
  sum = 0;
  for (int w = 0; w < warps; ++w) {
    if (w < warp_id) before += of_warps[w];
    sum += of_warps[w];
  }
  return before + up_to - value;
}

// before: of each warp, where its rows of each expert start.
__device__ void place_parts(const PlanCall& call, std::int32_t* before) {
  std::int32_t* own = before + static_cast<int>(threadIdx.x) / warp * call.num_experts;
  for_each_choice(call, WarpPart(call), [&](Count choice, int slot, unsigned same) {
    const bool is_here = slot < call.num_experts;
    const int row = is_here ? own[slot] + rank_among(same) : -1;
    __syncwarp();
    if (is_here && rank_among(same) == 0) own[slot] += __popc(same);
    if (choice >= call.num_choices) return;
    call.row_of[choice] = row;
    if (is_here) call.source_of[row] = static_cast<std::int32_t>(choice / call.top_k);
  });
}

__global__ void plan_in_one(PlanCall call) {
  extern __shared__ std::int32_t counts[];
  count_parts(call, counts);
  int before = 0;
  for (int first = 0; first < call.num_experts; first += block_threads) {
    const int expert = first + static_cast<int>(threadIdx.x);
    const bool is_one = expert < call.num_experts;
    int sum = 0;
    const int start = before + sum_before(is_one ? sum_over_warps(call, counts, expert) : 0, sum);
    before += sum;
    if (!is_one) continue;
    call.first_row[expert] = start;
    for (int w = 0; w < warps; ++w) counts[w * call.num_experts + expert] += start;
  }
  if (threadIdx.x == 0) call.first_row[call.num_experts] = before;
  __syncthreads();
  place_parts(call, counts);
}

__global__ void count_blocks(PlanCall call) {
  extern __shared__ std::int32_t counts[];
  count_parts(call, counts);
  for (int expert = static_cast<int>(threadIdx.x); expert < call.num_experts;
       expert += block_threads) {
    call.starts[Count{expert} * call.blocks + blockIdx.x] = sum_over_warps(call, counts, expert);
  }
}

// By one block: counts become starts.
__global__ void sum_blocks(PlanCall call) {
  int before = 0;
  const Count count = Count{call.num_experts} * call.blocks;
  for (Count first = 0; first < count; first += block_threads) {
    const Count i = first + threadIdx.x;
    int sum = 0;
    const int start = before + sum_before(i < count ? call.starts[i] : 0, sum);
    before += sum;
    if (i >= count) continue;
    call.starts[i] = start;
    if (i % call.blocks == 0) call.first_row[i / call.blocks] = start;
  }
  if (threadIdx.x == 0) call.first_row[call.num_experts] = before;
}

__global__ void place_blocks(PlanCall call) {
  extern __shared__ std::int32_t counts[];
  count_parts(call, counts);
  for (int expert = static_cast<int>(threadIdx.x); expert < call.num_experts;
       expert += block_threads) {
    sum_over_warps(call, counts, expert);
    const int start = call.starts[Count{expert} * call.blocks + blockIdx.x];
    for (int w = 0; w < warps; ++w) counts[w * call.num_experts + expert] += start;
  }
  __syncthreads();
  place_parts(call, counts);
}

}  // namespace

bool can_plan_by_counting(int num_experts) {
  constexpr Count bytes_without_asking = 48 * 1024 - 256;
  return Count{warps} * num_experts * 4 <= bytes_without_asking;
}

void plan_by_counting(CudaMemory& memory, const Tensor& topk_ids, const LocalSlot& slot_of,
                      const RowPlan& plan) {
  const Count num_choices = topk_ids.rows * topk_ids.columns;
  const auto num_experts = static_cast<int>(plan.first_row.rows - 1);
  const Count steps = (num_choices + warps * warp - 1) / (warps * warp);
  const Count choices_a_warp = std::clamp<Count>(steps * warp, warp, choices_a_warp_max);
  const Count blocks =
      std::max<Count>(1, (num_choices + warps * choices_a_warp - 1) / (warps * choices_a_warp));
  const Scratch<std::int32_t> starts(memory, blocks == 1 ? 0 : blocks * num_experts);
  const PlanCall call{device_elements<std::int32_t>(topk_ids),
                      slot_of,
                      num_choices,
                      num_experts,
                      static_cast<int>(topk_ids.columns),
                      static_cast<int>(blocks),
                      choices_a_warp,
                      starts.data(),
                      device_elements<std::int32_t>(plan.first_row),
                      device_elements<std::int32_t>(plan.row_of),
                      device_elements<std::int32_t>(plan.source_of)};
  const Grid each{blocks, block_threads, static_cast<std::size_t>(warps * num_experts) * 4};
  if (blocks == 1) return launch(memory.queue(), each, plan_in_one, call);
  launch(memory.queue(), each, count_blocks, call);
  launch(memory.queue(), {1, block_threads}, sum_blocks, call);
  launch(memory.queue(), each, place_blocks, call);
}

}  // namespace moe::cuda
