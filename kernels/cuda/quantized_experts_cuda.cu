// Experts with quantised weights on a GPU, in the host's order of additions, so that bytes are the
// host's: tiles of 16 rows of one expert by 16 weight rows pass through shared memory as numbers,
// a thread adds one element's products, columns ascending. Counts stay on the device.

#include <utility>

#include "kernels/base/text.h"
#include "kernels/cuda/activated.cuh"
#include "kernels/cuda/code_reader.cuh"
#include "kernels/cuda/cuda_operators.cuh"
#include "kernels/quantized_pipeline.h"

namespace moe::cuda {
namespace {

constexpr int tile = 16;          // rows and weight rows of a block
constexpr int tile_columns = 32;  // columns in shared memory at a time

// One side of a product: numbers before their scales, and the scales.
template <typename T>
struct Operand {
  OperandKind kind = OperandKind::plain;
  const T* plain = nullptr;
  Count columns = 0;
  CodeReader codes = {};

  __device__ float number(Count row, Count column) const {
    if (kind == OperandKind::plain) return to_float(plain[row * columns + column]);
    const float number = codes.number(row, column);
    return kind == OperandKind::codes ? number : rounded_as<T>(number * codes.scale(row, column));
  }
  __device__ float scale(Count row, Count column) const {
    return kind == OperandKind::codes ? codes.scale(row, column) : 1;
  }
  __device__ float global_scale(Count row) const {
    return kind == OperandKind::codes ? codes.global_scale(row) : 1;
  }
  // Where the run of columns that begins here and shares a scale ends.
  __device__ Count run_end(Count begin) const {
    const Count group = kind == OperandKind::codes ? codes.layout.scales.group_columns : 0;
    return group == 0 ? columns : std::min(columns, (begin / group + 1) * group);
  }
};

template <typename T>
Operand<T> operand_of(const QuantizedOperand& operand) {
  const QuantizedRows& rows = operand.rows;
  if (operand.kind == OperandKind::plain) {
    return {.plain = static_cast<const T*>(rows.data.data), .columns = rows.layout.columns};
  }
  return {.kind = operand.kind, .columns = rows.layout.columns, .codes = reader_of(rows)};
}

// out = rows · weights transposed, every expert's rows through its part of the weights.
template <typename T>
struct Product {
  Operand<T> rows;
  Operand<T> weights;
  const std::int32_t* first_row;
  int num_experts;
  const T* bias;  // [num_experts, out_columns]; null: none
  bool is_integer;
  T* out;
  Count out_columns;
};

// One element's sum, run by run.
template <typename T>
struct RunningSum {
  const Product<T>& product;
  Count row;
  Count weight_row;
  Count begin = 0;
  Count end = 0;
  float run = 0;
  std::int32_t dot = 0;
  float sum = 0;

  __device__ void open(Count column) {
    begin = column;
    end = std::min(product.rows.run_end(column), product.weights.run_end(column));
    run = 0;
    dot = 0;
  }
  __device__ void close() {
    if (product.is_integer) run += static_cast<float>(dot);
    sum += run * product.rows.scale(row, begin) * product.weights.scale(weight_row, begin);
  }
  __device__ void add(Count column, float a, float w) {
    if (column == end) {
      close();
      open(column);
    }
    if (!product.is_integer) {
      run += a * w;
      return;
    }
    if (column != begin && (column - begin) % integer_tile == 0) {
      run += static_cast<float>(dot);
      dot = 0;
    }
    dot += static_cast<std::int32_t>(a) * static_cast<std::int32_t>(w);
  }
};

// The rows of a block: those from `begin` of one expert, below `end`.
struct RowTile {
  int expert = -1;
  Count begin = 0;
  Count end = 0;
};

__device__ RowTile row_tile(const std::int32_t* first_row, int num_experts, Count index) {
  for (int expert = 0; expert < num_experts; ++expert) {
    const Count count = first_row[expert + 1] - first_row[expert];
    const Count tiles = (count + tile - 1) / tile;
    if (index < tiles) return {expert, first_row[expert] + index * tile, first_row[expert + 1]};
    index -= tiles;
  }
  return {};
}

template <typename T>
__global__ void multiply_tile(Product<T> product) {
  __shared__ float rows[tile][tile_columns + 1];
  __shared__ float weights[tile][tile_columns + 1];
  const Count column_tiles = (product.out_columns + tile - 1) / tile;
  const RowTile own = row_tile(product.first_row, product.num_experts, blockIdx.x / column_tiles);
  if (own.expert < 0) return;
  const Count first_weight = own.expert * product.out_columns;
  const Count first_column = blockIdx.x % column_tiles * tile;
  const int x = static_cast<int>(threadIdx.x) % tile;
  const int y = static_cast<int>(threadIdx.x) / tile;
  const Count out_column = first_column + x;
  const Count columns = product.rows.columns;
  const bool has_element = own.begin + y < own.end && out_column < product.out_columns;
  RunningSum<T> element{product, own.begin + y, first_weight + out_column};
  element.open(0);
  for (Count base = 0; base < columns; base += tile_columns) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < tile * tile_columns; i += tile * tile) {
      const int at = i / tile_columns;
      const Count column = base + i % tile_columns;
      if (column >= columns) continue;
      if (own.begin + at < own.end) {
        rows[at][i % tile_columns] = product.rows.number(own.begin + at, column);
      }
      if (first_column + at < product.out_columns) {
        weights[at][i % tile_columns] =
            product.weights.number(first_weight + first_column + at, column);
      }
    }
    __syncthreads();
    if (!has_element) continue;
    for (Count column = base; column < std::min(columns, base + tile_columns); ++column) {
      element.add(column, rows[y][column - base], weights[x][column - base]);
    }
  }
  if (!has_element) return;
  if (columns > 0) element.close();
  float sum = element.sum * (1.0F / product.rows.global_scale(element.row) *
                             (1.0F / product.weights.global_scale(element.weight_row)));
  if (product.bias != nullptr) sum += to_float(product.bias[first_weight + out_column]);
  round_to(sum, product.out[element.row * product.out_columns + out_column]);
}

template <typename T>
void multiply(CudaMemory& memory, const Product<T>& product, Count num_rows) {
  const Count row_tiles = num_rows / tile + std::min<Count>(num_rows, product.num_experts);
  const Count column_tiles = (product.out_columns + tile - 1) / tile;
  launch(memory.queue(), {.blocks = row_tiles * column_tiles, .threads = tile * tile},
         multiply_tile<T>, product);
}

// inner [rows, intermediate * w13_rows_each] of T → out [rows, intermediate] of Out, up to
// first_row's end. Step: to what each step on the way is rounded.
template <typename T, typename Step, typename Out>
void activate(CudaMemory& memory, Activation activation, const Tensor& inner,
              const Tensor& first_row, const Tensor& out) {
  const std::int32_t* end = device_elements<std::int32_t>(first_row) + first_row.rows - 1;
  const T* from = device_elements<T>(inner);
  Out* to = device_elements<Out>(out);
  const Count count = out.columns;
  const Count wide = inner.columns;
  for_each(memory.queue(), out.rows * count, [=] __device__(Count i) {
    if (i / count >= *end) return;
    const T* row = from + i / count * wide;
    const auto element = [&](Count column) { return to_float(row[column]); };
    round_to(activated<Step>(activation, i % count, count, element), to[i]);
  });
}

class CudaQuantizedExperts final : public QuantizedPipeline {
 public:
  CudaQuantizedExperts(CudaMemory& memory, QuantizedGemmWeights weights, Count num_local_experts)
      : QuantizedPipeline(memory, std::move(weights)),
        memory_(memory),
        num_local_experts_(num_local_experts) {}

 private:
  void do_quantize(const Tensor& rows, const ActivationQuantization& how,
                   const QuantizedRows& out) override {
    quantize(memory_, rows, recipe_call(how.recipe, out.layout, {}), how.scale.tensor(), out);
  }

  void do_activate(const Tensor& inner, const Tensor& first_row, const Tensor& out) override {
    for_row_type(inner.dtype,
                 [&](auto element) { activate_as<decltype(element)>(inner, first_row, out); });
  }

  template <typename T>
  void activate_as(const Tensor& inner, const Tensor& first_row, const Tensor& out) const {
    switch (weights().rounding) {
      case ActivationRounding::each:
        return activate<T, T, T>(memory_, weights().activation, inner, first_row, out);
      case ActivationRounding::once:
        return activate<T, float, T>(memory_, weights().activation, inner, first_row, out);
      case ActivationRounding::never:
        return activate<T, float, float>(memory_, weights().activation, inner, first_row, out);
    }
  }

  void do_multiply(const QuantizedProduct& product, const Tensor& first_row,
                   const Tensor& out) override {
    for_row_type(out.dtype, [&](auto element) {
      using T = decltype(element);
      multiply(
          memory_,
          Product<T>{operand_of<T>(product.rows), operand_of<T>(product.weights),
                     device_elements<std::int32_t>(first_row), static_cast<int>(num_local_experts_),
                     static_cast<const T*>(product.bias.data), product.is_integer(),
                     device_elements<T>(out), out.columns},
          out.rows);
    });
  }

  CudaMemory& memory_;
  Count num_local_experts_;
};

}  // namespace

std::unique_ptr<QuantizedGemmExperts> make_quantized_experts(CudaMemory& memory,
                                                             QuantizedGemmWeights weights,
                                                             Count num_local_experts) {
  return std::make_unique<CudaQuantizedExperts>(memory, std::move(weights), num_local_experts);
}

}  // namespace moe::cuda
