// Products by oneDNN, the one file that knows it. One thread a rank: ranks are the parallelism.
// oneDNN 2.6 has no f16 product on CPUs, and none of bf16 where AVX-512 is missing: these go
// through f32: exact, one rounding at the end. Its fast products want the number of rows when they
// are made, so each number has its own.

#include "kernels/cpu/gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"

namespace moe::cpu {
namespace {

using Dimensions = dnnl::memory::dims;

// Made products that are kept; one takes some 100 KiB. oneDNN's choice of a layout is the same for
// every number of rows, as products made later confirm: they accept no other.
constexpr std::size_t products_max = 512;
constexpr Count usual_rows = 64;
// 6 is what the products named gemm need here under AVX and AVX2; 4 is SSE's.
constexpr Count gemm_row_step = 12;

dnnl::memory::desc row_major(Count rows, Count columns, dnnl::memory::data_type type) {
  return {Dimensions{rows, columns}, type, Dimensions{columns, 1}};
}

template <typename From, typename To>
void convert(const Tensor& from, const Tensor& to) {
  const auto source = elements_of<From>(from);
  const auto target = elements_of<To>(to);
  for (std::size_t i = 0; i < source.size(); ++i) round_to(to_float(source[i]), target[i]);
}

// Any type to f32, and back.
void widen(const Tensor& rows, const Tensor& wide) {
  for_row_type(rows.dtype, [&](auto element) { convert<decltype(element), float>(rows, wide); });
}
void narrow(const Tensor& wide, const Tensor& rows) {
  for_row_type(rows.dtype, [&](auto element) { convert<float, decltype(element)>(wide, rows); });
}

Buffer widened(const Tensor& rows, Memory& memory) {
  if (rows.data == nullptr) return {};
  Buffer wide(memory, {rows.rows, rows.columns, DType::f32});
  widen(rows, wide.tensor());
  return wide;
}

// A description of what failed in oneDNN's place.
template <typename Function>
auto named_errors(const Tensor& rows, const Tensor& weights, Function function) {
  try {
    return function();
  } catch (const dnnl::error& error) {
    throw SystemError(text("oneDNN: ", error.what(), " for ", shape_text(rows), " times ",
                           shape_text(weights), " transposed"));
  }
}

// oneDNN's products by its general one, whose rows depend on how many there are.
bool is_gemm(const dnnl::matmul::primitive_desc& product) {
  return std::string_view(product.impl_info_str()).starts_with("gemm");
}

// Whether oneDNN has products made for bf16 on this machine, as it says itself.
bool has_bf16() {
  static const bool has = [] {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    const dnnl::memory::desc square = row_major(16, 16, dnnl::memory::data_type::bf16);
    try {
      return !is_gemm({{square, square, square}, engine});
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
      return false;
    }
  }();
  return has;
}

class OnednnWeights final : public PackedWeights {
 public:
  OnednnWeights(WeightStack stack, Memory& memory)
      : memory_(memory),
        plain_({nullptr, stack.weights.tensor().rows / stack.count, stack.weights.tensor().columns,
                stack.weights.tensor().dtype}),
        widens_(plain_.dtype == DType::f16 || (plain_.dtype == DType::bf16 && !has_bf16())),
        type_(plain_.dtype == DType::bf16 && !widens_ ? dnnl::memory::data_type::bf16
                                                      : dnnl::memory::data_type::f32) {
    const Buffer weights =
        widens_ ? widened(stack.weights.tensor(), memory) : std::move(stack.weights);
    bias_ = widens_ ? widened(stack.bias.tensor(), memory) : std::move(stack.bias);
    if (plain_.rows > 0 && plain_.columns > 0) pack(weights.tensor(), stack.count);
  }

  void multiply(Count index, const Tensor& rows, const Tensor& out) override {
    if (out.rows == 0 || out.columns == 0) return;
    omp_set_num_threads(1);
    named_errors(rows, plain_, [&] {
      if (!widens_ && row_step_ == 1) return execute(index, rows, out);
      const Count whole = (rows.rows + row_step_ - 1) / row_step_ * row_step_;
      const Buffer wide_rows(memory_, {whole, rows.columns, DType::f32});
      const Buffer wide_out(memory_, {whole, out.columns, DType::f32});
      widen(rows, rows_of(wide_rows.tensor(), 0, rows.rows));
      memory_.fill(rows_of(wide_rows.tensor(), rows.rows, whole - rows.rows), 0);
      execute(index, wide_rows.tensor(), wide_out.tensor());
      narrow(rows_of(wide_out.tensor(), 0, out.rows), out);
    });
  }

 private:
  void pack(const Tensor& weights, Count count) {
    omp_set_num_threads(1);
    named_errors(weights, plain_, [&] {
      const auto any = dnnl::memory::desc(Dimensions{plain_.columns, plain_.rows}, type_,
                                          dnnl::memory::format_tag::any);
      const auto usual = described(usual_rows, any);
      layout_ = usual.weights_desc();
      // A shape that the products made for bf16 do not take is bf16 all the same.
      const bool is_f32 = type_ == dnnl::memory::data_type::f32;
      if (is_f32 && is_gemm(usual)) row_step_ = gemm_row_step;
      const auto bytes = static_cast<Count>(layout_.get_size());
      packed_ = Buffer(memory_, {count, (bytes + 63) / 64 * 64, DType::u8});
      const dnnl::memory::desc transposed(Dimensions{plain_.columns, plain_.rows}, type_,
                                          Dimensions{1, plain_.columns});
      for (Count i = 0; i < count; ++i) {
        dnnl::memory from(transposed, engine_, row_at(weights, i * plain_.rows));
        dnnl::memory to(layout_, engine_, row_at(packed_.tensor(), i));
        dnnl::reorder(from, to).execute(stream_, from, to);
      }
      stream_.wait();
    });
  }

  dnnl::matmul::primitive_desc described(Count num_rows, const dnnl::memory::desc& weights) const {
    const auto bias =
        bias_.tensor().data == nullptr ? dnnl::memory::desc() : row_major(1, plain_.rows, type_);
    return {{row_major(num_rows, plain_.columns, type_), weights, bias,
             row_major(num_rows, plain_.rows, type_)},
            engine_};
  }

  const dnnl::matmul& product_for(Count num_rows) {
    const auto found = products_.find(num_rows);
    if (found != products_.end()) return found->second;
    if (products_.size() >= products_max) products_.clear();
    return products_.emplace(num_rows, dnnl::matmul(described(num_rows, layout_))).first->second;
  }

  void execute(Count index, const Tensor& rows, const Tensor& out) {
    std::unordered_map<int, dnnl::memory> arguments = {
        {DNNL_ARG_SRC, {row_major(rows.rows, rows.columns, type_), engine_, rows.data}},
        {DNNL_ARG_WEIGHTS, {layout_, engine_, row_at(packed_.tensor(), index)}},
        {DNNL_ARG_DST, {row_major(out.rows, out.columns, type_), engine_, out.data}}};
    if (bias_.tensor().data != nullptr) {
      arguments.emplace(DNNL_ARG_BIAS, dnnl::memory(row_major(1, plain_.rows, type_), engine_,
                                                    row_at(bias_.tensor(), index)));
    }
    product_for(rows.rows).execute(stream_, arguments);
    stream_.wait();
  }

  Memory& memory_;
  Tensor plain_;        // one weight's shape and type, without data
  bool widens_;         // rows are no f32, products are
  Count row_step_ = 1;  // products are of multiples of so many rows; more than 1 for f32 only
  dnnl::memory::data_type type_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  Buffer bias_;
  dnnl::memory::desc layout_;
  Buffer packed_;  // [count, bytes of one packed weight]
  std::unordered_map<Count, dnnl::matmul> products_;
};

std::unique_ptr<PackedWeights> pack(WeightStack stack, Memory& memory) {
  return std::make_unique<OnednnWeights>(std::move(stack), memory);
}

}  // namespace

const GemmLibrary onednn_gemm = {"onednn", pack, nullptr};

}  // namespace moe::cpu
