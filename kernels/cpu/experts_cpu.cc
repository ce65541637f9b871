// The probe experts on the host: signs by column.
// Experts with products are gemm_experts_cpu.cc.

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

template <typename T>
void apply_signs(const Tensor& rows, const Tensor& first_row, const Tensor& signs) {
  const auto first = elements_of<std::int32_t>(first_row);
  for (Count expert = 0; expert < signs.rows; ++expert) {
    const auto* sign = static_cast<const std::int8_t*>(signs.data) + expert * signs.columns;
    const auto at = static_cast<std::size_t>(expert);
    for (Count row = first[at]; row < first[at + 1]; ++row) {
      T* values = static_cast<T*>(rows.data) + row * rows.columns;
      for (Count h = 0; h < rows.columns; ++h) {
        round_to(to_float(values[h]) * static_cast<float>(sign[h]), values[h]);
      }
    }
  }
}

}  // namespace

void probe_experts(const Tensor& rows, const Tensor& first_row, const Tensor& signs) {
  for_row_type(rows.dtype,
               [&](auto element) { apply_signs<decltype(element)>(rows, first_row, signs); });
}

}  // namespace moe::cpu
