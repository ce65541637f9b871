// Products by oneDNN, the one file that knows it. One thread a rank: ranks are the parallelism.
// oneDNN 2.6 has no f16 product on CPUs, so f16 goes through f32: exact, one rounding at the end.
// Its fast products want the number of rows when they are made, so each number has its own.

#include "kernels/cpu/gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
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

dnnl::memory::desc row_major(Count rows, Count columns, dnnl::memory::data_type type) {
  return {Dimensions{rows, columns}, type, Dimensions{columns, 1}};
}

template <typename From, typename To>
void convert(const Tensor& from, const Tensor& to) {
  const auto source = elements_of<From>(from);
  const auto target = elements_of<To>(to);
  for (std::size_t i = 0; i < source.size(); ++i) round_to(to_float(source[i]), target[i]);
}

Buffer widened(const Tensor& half, Memory& memory) {
  if (half.data == nullptr) return {};
  Buffer wide(memory, {half.rows, half.columns, DType::f32});
  convert<Float16, float>(half, wide.tensor());
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

class OnednnWeights final : public PackedWeights {
 public:
  OnednnWeights(WeightStack stack, Memory& memory)
      : memory_(memory),
        plain_({nullptr, stack.weights.tensor().rows / stack.count, stack.weights.tensor().columns,
                stack.weights.tensor().dtype}),
        type_(plain_.dtype == DType::bf16 ? dnnl::memory::data_type::bf16
                                          : dnnl::memory::data_type::f32) {
    const bool widens = plain_.dtype == DType::f16;
    const Buffer weights =
        widens ? widened(stack.weights.tensor(), memory) : std::move(stack.weights);
    bias_ = widens ? widened(stack.bias.tensor(), memory) : std::move(stack.bias);
    if (plain_.rows > 0 && plain_.columns > 0) pack(weights.tensor(), stack.count);
  }

  void multiply(Count index, const Tensor& rows, const Tensor& out) override {
    if (out.rows == 0 || out.columns == 0) return;
    omp_set_num_threads(1);
    named_errors(rows, plain_, [&] {
      if (out.dtype != DType::f16) return execute(index, rows, out);
      const Buffer wide_rows = widened(rows, memory_);
      const Buffer wide_out(memory_, {out.rows, out.columns, DType::f32});
      execute(index, wide_rows.tensor(), wide_out.tensor());
      convert<float, Float16>(wide_out.tensor(), out);
    });
  }

 private:
  void pack(const Tensor& weights, Count count) {
    omp_set_num_threads(1);
    named_errors(weights, plain_, [&] {
      const auto any = dnnl::memory::desc(Dimensions{plain_.columns, plain_.rows}, type_,
                                          dnnl::memory::format_tag::any);
      layout_ = described(usual_rows, any).weights_desc();
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
  Tensor plain_;  // one weight's shape and type, without data
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
