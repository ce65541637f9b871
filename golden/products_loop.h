// The loop behind products.h, for vectors of so many doubles. Four rows meet two weights at a time:
// eight running sums that stay in registers. Included by one file for each instruction set.

#pragma once

#include <cstring>

#include "golden/products.h"

namespace moe::golden {

template <std::size_t lanes>
struct ProductsLoop {
  using Vector [[gnu::vector_size(lanes * sizeof(double))]] = double;

  static Vector load(const double* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof(vector));
    return vector;
  }

  // rows_at_once rows from row on, times weights_at_once weights from weight on.
  template <std::size_t rows_at_once, std::size_t weights_at_once>
  static void block(const double* rows, const double* weights, std::size_t width, double* out,
                    std::size_t out_width) {
    Vector sums[rows_at_once][weights_at_once] = {};  // std::array would lose the vector type
    std::size_t i = 0;
    for (; i + lanes <= width; i += lanes) {
      Vector w[weights_at_once];
      for (std::size_t j = 0; j < weights_at_once; ++j) w[j] = load(weights + j * width + i);
      for (std::size_t r = 0; r < rows_at_once; ++r) {
        const Vector x = load(rows + r * width + i);
        for (std::size_t j = 0; j < weights_at_once; ++j) sums[r][j] += x * w[j];
      }
    }
    for (std::size_t r = 0; r < rows_at_once; ++r) {
      for (std::size_t j = 0; j < weights_at_once; ++j) {
        double sum = 0;
        for (std::size_t lane = 0; lane < lanes; ++lane) sum += sums[r][j][lane];
        for (std::size_t k = i; k < width; ++k) sum += rows[r * width + k] * weights[j * width + k];
        out[r * out_width + j] = sum;
      }
    }
  }

  template <std::size_t weights_at_once>
  static void column(ProductShape shape, const double* rows, const double* weights, double* out) {
    std::size_t row = 0;
    for (; row + 4 <= shape.rows; row += 4) {
      block<4, weights_at_once>(rows + row * shape.width, weights, shape.width,
                                out + row * shape.weights, shape.weights);
    }
    for (; row < shape.rows; ++row) {
      block<1, weights_at_once>(rows + row * shape.width, weights, shape.width,
                                out + row * shape.weights, shape.weights);
    }
  }

  static void run(ProductShape shape, const double* rows, const double* weights, double* out) {
    std::size_t weight = 0;
    for (; weight + 2 <= shape.weights; weight += 2) {
      column<2>(shape, rows, weights + weight * shape.width, out + weight);
    }
    if (weight < shape.weights)
      column<1>(shape, rows, weights + weight * shape.width, out + weight);
  }
};

}  // namespace moe::golden
