// Products by oneDNN, the one file that knows it. One thread a rank: ranks are the parallelism.
// oneDNN 2.6 has no f16 product on CPUs, so f16 rows go through f32: exact, one rounding at the
// end.

#include "kernels/cpu/gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::cpu {
namespace {

using Dimensions = dnnl::memory::dims;

dnnl::memory described(const Tensor& tensor, const dnnl::memory::desc& description,
                       const dnnl::engine& engine) {
  return {description, engine, tensor.data};
}

dnnl::memory::desc row_major(const Tensor& tensor, dnnl::memory::data_type type) {
  return {Dimensions{tensor.rows, tensor.columns}, type, Dimensions{tensor.columns, 1}};
}

void multiply_as(dnnl::memory::data_type type, const Product& product, const Tensor& out) {
  const auto& [rows, weight, bias] = product;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::desc transposed(Dimensions{weight.columns, weight.rows}, type,
                                      Dimensions{1, weight.columns});
  const auto rows_desc = row_major(rows, type);
  const auto out_desc = row_major(out, type);
  const auto bias_desc = bias.data == nullptr ? dnnl::memory::desc() : row_major(bias, type);
  const dnnl::matmul::primitive_desc primitive({rows_desc, transposed, bias_desc, out_desc},
                                               engine);
  std::unordered_map<int, dnnl::memory> arguments = {
      {DNNL_ARG_SRC, described(rows, rows_desc, engine)},
      {DNNL_ARG_WEIGHTS, described(weight, transposed, engine)},
      {DNNL_ARG_DST, described(out, out_desc, engine)}};
  if (bias.data != nullptr) {
    arguments.emplace(DNNL_ARG_BIAS, described(bias, bias_desc, engine));
  }
  dnnl::matmul(primitive).execute(stream, arguments);
  stream.wait();
}

Buffer widened(const Tensor& half, Memory& memory) {
  if (half.data == nullptr) return {};
  Buffer wide(memory, {half.rows, half.columns, DType::f32});
  const auto from = elements_of<Float16>(half);
  const auto to = elements_of<float>(wide.tensor());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = to_float(from[i]);
  return wide;
}

void multiply_halves(const Product& product, const Tensor& out, Memory& memory) {
  const Buffer rows = widened(product.rows, memory);
  const Buffer weight = widened(product.weight, memory);
  const Buffer bias = widened(product.bias, memory);
  const Buffer wide(memory, {out.rows, out.columns, DType::f32});
  multiply_as(dnnl::memory::data_type::f32, {rows.tensor(), weight.tensor(), bias.tensor()},
              wide.tensor());
  const auto from = elements_of<float>(wide.tensor());
  const auto to = elements_of<Float16>(out);
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = to_float16(from[i]);
}

void multiply(const Product& product, const Tensor& out, Memory& memory) {
  if (out.rows == 0 || out.columns == 0) return;
  omp_set_num_threads(1);
  try {
    if (out.dtype == DType::bf16) {
      return multiply_as(dnnl::memory::data_type::bf16, product, out);
    }
    if (out.dtype == DType::f32) {
      return multiply_as(dnnl::memory::data_type::f32, product, out);
    }
    multiply_halves(product, out, memory);
  } catch (const dnnl::error& error) {
    throw SystemError(text("oneDNN: ", error.what(), " for ", shape_text(product.rows), " times ",
                           shape_text(product.weight), " transposed"));
  }
}

}  // namespace

const GemmLibrary onednn_gemm = {"onednn", multiply, nullptr};

}  // namespace moe::cpu
