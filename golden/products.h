// The oracle's inner products in double, many at a time. Their order of additions is not part of
// any contract: 2^-53 is far below every bound. One source, compiled for several instruction sets;
// which of them runs is chosen at start.

#pragma once

#include <cstddef>

namespace moe::golden {

// Row-major, no gaps.
struct ProductShape {
  std::size_t rows = 0;
  std::size_t weights = 0;
  std::size_t width = 0;
};

// out [rows, weights]: each of rows [rows, width] times each of weights [weights, width].
using Products = void (*)(ProductShape shape, const double* rows, const double* weights,
                          double* out);

// The fastest that this processor can do.
Products chosen_products();

}  // namespace moe::golden
