// Grouping rows by local expert on a GPU: counted (row_plan_cuda.cu) or, for more experts than that
// has room for, a stable sort by expert; either way places are prefix sums, so that the order never
// depends on who comes first. Then a copy of rows.

#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/cuda/row_moves.cuh"
#include "kernels/cuda/row_plan.cuh"
#include "kernels/cuda/sorted_choices.cuh"

namespace moe::cuda {
SortedChoices::SortedChoices(CudaMemory& memory, Count num_choices, int num_keys)
    : memory_(memory),
      num_choices_(num_choices),
      num_keys_(num_keys),
      keys_(memory, num_choices),
      choices_(memory, num_choices),
      sorted_keys_(memory, num_choices),
      sorted_(memory, num_choices) {}

void SortedChoices::sort() {
  if (num_choices_ == 0) return;
  std::int32_t* choices = choices_.data();
  for_each(memory_.queue(), num_choices_,
           [=] __device__(Count i) { choices[i] = static_cast<std::int32_t>(i); });
  const int bits = std::bit_width(static_cast<unsigned>(num_keys_));
  std::size_t bytes = 0;
  const auto run = [&](void* workspace) {
    check(cub::DeviceRadixSort::SortPairs(workspace, bytes, keys_.data(), sorted_keys_.data(),
                                          choices_.data(), sorted_.data(),
                                          static_cast<int>(num_choices_), 0, bits, memory_.queue()),
          "a sort of choices");
  };
  run(nullptr);
  const Scratch<std::uint8_t> workspace(memory_, static_cast<Count>(bytes));
  run(workspace.data());
}

void SortedChoices::write_first(std::int32_t* first) const {
  const std::int32_t* keys = sorted_keys_.data();
  const Count count = num_choices_;
  for_each(memory_.queue(), num_keys_ + Count{1}, [=] __device__(Count key) {
    Count low = 0;
    Count high = count;
    while (low < high) {
      const Count middle = (low + high) / 2;
      if (keys[middle] < key) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    first[key] = static_cast<std::int32_t>(low);
  });
}

Count num_grouped_rows(CudaMemory& memory, const Tensor& first_row) {
  std::int32_t end = 0;
  memory.copy_to_host(rows_of(first_row, first_row.rows - 1, 1), {&end, 1, 1, DType::i32, {}});
  return end;
}

void local_ids(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const Tensor& local) {
  const auto* ids = device_elements<std::int32_t>(topk_ids);
  const auto* map = device_elements<std::int32_t>(expert_map);
  auto* out = device_elements<std::int32_t>(local);
  const Count num_experts = expert_map.rows;
  Refusal* refusal = memory.refusal();
  for_each(memory.queue(), topk_ids.rows * topk_ids.columns, [=] __device__(Count i) {
    const std::int32_t id = ids[i];
    if (id >= num_experts) refuse(refusal, {Refused::expert, 0, id, num_experts});
    out[i] = id < 0 || id >= num_experts ? -1 : map[id];
  });
}

void permute(CudaMemory& memory, const Tensor& hidden_states, const RowPlan& plan,
             const Tensor& out) {
  RowMove move = whole_rows(hidden_states, out, hidden_states.rows);  // each is read once
  move.to_place = device_elements<std::int32_t>(plan.row_of);
  move.targets = static_cast<int>(plan.row_of.columns);
  move_rows(memory.queue(), move);
}

void plan_rows(CudaMemory& memory, const Tensor& topk_ids, const Tensor& expert_map,
               const RowPlan& plan) {
  const auto* ids = device_elements<std::int32_t>(topk_ids);
  const bool is_local = expert_map.columns == 0;
  const auto num_local = static_cast<int>(plan.first_row.rows - 1);
  const LocalSlot slot_of{is_local ? nullptr : device_elements<std::int32_t>(expert_map),
                          expert_map.rows, num_local, memory.refusal()};
  if (can_plan_by_counting(num_local)) return plan_by_counting(memory, topk_ids, slot_of, plan);
  const Count num_choices = topk_ids.rows * topk_ids.columns;
  const Count top_k = topk_ids.columns;
  SortedChoices choices(memory, num_choices, num_local);
  std::int32_t* keys = choices.keys();
  for_each(memory.queue(), num_choices, [=] __device__(Count i) { keys[i] = slot_of(ids[i]); });
  choices.sort();
  choices.write_first(device_elements<std::int32_t>(plan.first_row));
  auto* row_of = device_elements<std::int32_t>(plan.row_of);
  auto* source_of = device_elements<std::int32_t>(plan.source_of);
  const std::int32_t* sorted_keys = choices.sorted_keys();
  const std::int32_t* sorted = choices.sorted();
  for_each(memory.queue(), num_choices, [=] __device__(Count row) {
    const std::int32_t choice = sorted[row];
    const bool is_here = sorted_keys[row] < num_local;
    row_of[choice] = is_here ? static_cast<std::int32_t>(row) : -1;
    if (is_here) source_of[row] = static_cast<std::int32_t>(choice / top_k);
  });
}

}  // namespace moe::cuda
