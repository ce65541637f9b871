// Row arithmetic on the host: weights, factors and sums of rows, each rounded once to the rows'
// type. Rules stand at the doors in kernels.h.

#include "kernels/base/bits.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

template <typename T>
float as_held(float value) {
  T held;
  round_to(value, held);
  return to_float(held);
}

}  // namespace

void weight_rows(const Tensor& rows, const Tensor& weights, const Tensor& out) {
  for_row_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const auto from = elements_of<T>(rows);
    const auto to = elements_of<T>(out);
    const auto weight_of = elements_of<float>(weights);
    const auto columns = static_cast<std::size_t>(rows.columns);
    for (std::size_t row = 0; row < weight_of.size(); ++row) {
      const float weight = as_held<T>(weight_of[row]);
      for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
        round_to(to_float(from[i]) * weight, to[i]);
      }
    }
  });
}

void scale_rows(const Tensor& rows, float factor) {
  for_row_type(rows.dtype, [&](auto element) {
    for (auto& value : elements_of<decltype(element)>(rows)) {
      round_to(to_float(value) * factor, value);
    }
  });
}

void add_rows(const Tensor& rows, const Tensor& to) {
  for_row_type(rows.dtype, [&](auto element) {
    const auto from = elements_of<decltype(element)>(rows);
    const auto sums = elements_of<decltype(element)>(to);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      round_to(to_float(sums[i]) + to_float(from[i]), sums[i]);
    }
  });
}

}  // namespace moe::cpu
