// The batched_experts format on the host: grouped rows to capacity slots for each expert and back.
// Slots without a row are never read and never written (experts-and-oracles.md, trap 18).

#include <cstring>

#include "kernels/base/text.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

void copy_rows(const Tensor& from, const Tensor& to) {
  if (bytes_of(from) > 0) std::memcpy(to.data, from.data, static_cast<std::size_t>(bytes_of(from)));
}

}  // namespace

void to_batched_experts(const Tensor& rows, const Tensor& first_row, Count capacity,
                        const BatchedRows& batched) {
  const auto first = elements_of<std::int32_t>(first_row);
  const auto counts = elements_of<std::int32_t>(batched.expert_num_tokens);
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    const Count count = first[expert + 1] - first[expert];
    MOE_CHECK(count <= capacity,
              text("expert ", expert, " has ", count, " rows, the capacity is ", capacity));
    counts[expert] = static_cast<std::int32_t>(count);
    copy_rows(rows_of(rows, first[expert], count),
              rows_of(batched.hidden_states, static_cast<Count>(expert) * capacity, count));
  }
}

void from_batched_experts(const BatchedRows& batched, const Tensor& first_row, const Tensor& out) {
  const auto first = elements_of<std::int32_t>(first_row);
  const auto counts = elements_of<std::int32_t>(batched.expert_num_tokens);
  if (counts.empty()) return;
  const Count capacity = batched.hidden_states.rows / std::ssize(counts);
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    const Count count = first[expert + 1] - first[expert];
    MOE_CHECK(counts[expert] == count && count <= capacity,
              text("expert ", expert, " came with ", counts[expert], " rows, the plan says ", count,
                   ", the capacity ", capacity));
    copy_rows(rows_of(batched.hidden_states, static_cast<Count>(expert) * capacity, count),
              rows_of(out, first[expert], count));
  }
}

}  // namespace moe::cpu
