// Products by oneDNN, the one file that knows it. One thread a rank: ranks are the parallelism.
// oneDNN 2.6 has no f16 product on CPUs, so f16 rows go through f32: exact, one rounding at the
// end.

#include "kernels/cpu/gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

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

void multiply_as(dnnl::memory::data_type type, const Tensor& rows, const Tensor& weight,
                 const Tensor& out) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::desc transposed(Dimensions{weight.columns, weight.rows}, type,
                                      Dimensions{1, weight.columns});
  const auto rows_desc = row_major(rows, type);
  const auto out_desc = row_major(out, type);
  const dnnl::matmul::primitive_desc primitive({rows_desc, transposed, out_desc}, engine);
  dnnl::matmul(primitive).execute(stream,
                                  {{DNNL_ARG_SRC, described(rows, rows_desc, engine)},
                                   {DNNL_ARG_WEIGHTS, described(weight, transposed, engine)},
                                   {DNNL_ARG_DST, described(out, out_desc, engine)}});
  stream.wait();
}

Buffer widened(const Tensor& half, Memory& memory) {
  Buffer wide(memory, {half.rows, half.columns, DType::f32});
  const auto from = elements_of<Float16>(half);
  const auto to = elements_of<float>(wide.tensor());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = to_float(from[i]);
  return wide;
}

void multiply(const Tensor& rows, const Tensor& weight, const Tensor& out, Memory& memory) {
  if (out.rows == 0 || out.columns == 0) return;
  omp_set_num_threads(1);
  try {
    if (out.dtype == DType::bf16) {
      return multiply_as(dnnl::memory::data_type::bf16, rows, weight, out);
    }
    if (out.dtype == DType::f32) {
      return multiply_as(dnnl::memory::data_type::f32, rows, weight, out);
    }
    const Buffer wide_rows = widened(rows, memory);
    const Buffer wide_weight = widened(weight, memory);
    const Buffer wide_out(memory, {out.rows, out.columns, DType::f32});
    multiply_as(dnnl::memory::data_type::f32, wide_rows.tensor(), wide_weight.tensor(),
                wide_out.tensor());
    const auto from = elements_of<float>(wide_out.tensor());
    const auto to = elements_of<Float16>(out);
    for (std::size_t i = 0; i < from.size(); ++i) to[i] = to_float16(from[i]);
  } catch (const dnnl::error& error) {
    throw SystemError(text("oneDNN: ", error.what(), " for ", shape_text(rows), " times ",
                           shape_text(weight), " transposed"));
  }
}

}  // namespace

const GemmLibrary onednn_gemm = {"onednn", multiply, nullptr};

}  // namespace moe::cpu
