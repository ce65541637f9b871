// Grouping rows by local expert on the host: a stable counting sort, then a copy of rows.
// The same order as vLLM's moe_permute (a stable sort by expert id).

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

// The local expert of a choice, -1 for none. An id that no map has is ours to refuse: reading past
// the map is the bug that vLLM's kernels had with -1 (fault-catalogue.md, F6).
std::int32_t local_expert(std::int32_t id, std::span<const std::int32_t> expert_map) {
  if (id < 0) return -1;
  MOE_CHECK(static_cast<std::size_t>(id) < expert_map.size(),
            "expert " + std::to_string(id) + " of " + std::to_string(expert_map.size()));
  return expert_map[static_cast<std::size_t>(id)];
}

// The same for ids that are local already.
std::int32_t checked_local(std::int32_t id, std::size_t num_local_experts) {
  MOE_CHECK(id < 0 || static_cast<std::size_t>(id) < num_local_experts,
            "local expert " + std::to_string(id) + " of " + std::to_string(num_local_experts));
  return id;
}

}  // namespace

void local_ids(const Tensor& topk_ids, const Tensor& expert_map, const Tensor& local) {
  const auto map = elements_of<std::int32_t>(expert_map);
  std::ranges::transform(elements_of<std::int32_t>(topk_ids),
                         elements_of<std::int32_t>(local).begin(),
                         [map](std::int32_t id) { return local_expert(id, map); });
}

void plan_rows(const Tensor& topk_ids, const Tensor& expert_map, const RowPlan& plan) {
  const auto ids = elements_of<std::int32_t>(topk_ids);
  const bool is_local = expert_map.columns == 0;
  const auto map = is_local ? std::span<std::int32_t>() : elements_of<std::int32_t>(expert_map);
  const auto row_of = elements_of<std::int32_t>(plan.row_of);
  const auto source_of = elements_of<std::int32_t>(plan.source_of);
  const auto first_row = elements_of<std::int32_t>(plan.first_row);
  const auto slot_of = [&](std::int32_t id) {
    return is_local ? checked_local(id, first_row.size() - 1) : local_expert(id, map);
  };
  std::fill(first_row.begin(), first_row.end(), 0);
  for (const std::int32_t id : ids) {
    const std::int32_t local = slot_of(id);
    if (local >= 0) ++first_row[static_cast<std::size_t>(local) + 1];
  }
  for (std::size_t e = 1; e < first_row.size(); ++e) first_row[e] += first_row[e - 1];
  std::vector<std::int32_t> next(first_row.begin(), first_row.end());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int32_t local = slot_of(ids[i]);
    row_of[i] = local < 0 ? -1 : next[static_cast<std::size_t>(local)]++;
    if (local < 0) continue;
    source_of[static_cast<std::size_t>(row_of[i])] =
        static_cast<std::int32_t>(static_cast<Count>(i) / topk_ids.columns);
  }
}

void permute(const Tensor& hidden_states, const RowPlan& plan, const Tensor& out) {
  const auto source_of = elements_of<std::int32_t>(plan.source_of);
  const auto size = static_cast<std::size_t>(row_bytes(out));
  for (Count row = 0; row < out.rows; ++row) {
    std::memcpy(row_at(out, row), row_at(hidden_states, source_of[static_cast<std::size_t>(row)]),
                size);
  }
}

}  // namespace moe::cpu
