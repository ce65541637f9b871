// Each decorator works on host copies: what it spoils is a few rows, and it must do the same on
// every device.

#include "backends/faulty_weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/lying_prepare_finalize.h"
#include "kernels/base/bits.h"

namespace moe {
namespace {

// A tensor's bytes on the host, and a view of them with its shape.
struct OnHost {
  OnHost(const Tensor& tensor, Memory& memory)
      : bytes(static_cast<std::size_t>(bytes_of(tensor))),
        view{bytes.data(), tensor.rows, tensor.columns, tensor.dtype, {}} {
    memory.copy_to_host(tensor, view);
  }
  OnHost(const OnHost&) = delete;
  OnHost& operator=(const OnHost&) = delete;

  std::vector<std::byte> bytes;
  Tensor view;
};

class WeightsTwice final : public Experts {
 public:
  WeightsTwice(std::unique_ptr<Experts> inner, Memory& memory)
      : inner_(std::move(inner)), memory_(memory) {}

  Tensor apply(Dispatched& dispatched) override {
    const OnHost weights(dispatched.routing.topk_weights, memory_);
    for (float& weight : elements_of<float>(weights.view)) weight *= weight;
    dispatched.routing.topk_weights = dispatched.handle.keep(copy_of(weights.view, memory_));
    return inner_->apply(dispatched);
  }

 private:
  std::unique_ptr<Experts> inner_;
  Memory& memory_;
};

class NegativeLogitsClamped final : public Router {
 public:
  NegativeLogitsClamped(std::unique_ptr<Router> inner, Memory& memory, Count num_experts)
      : inner_(std::move(inner)), memory_(memory), num_experts_(num_experts) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    const OnHost rows(router_logits, memory_);
    for (Count row = 0; row < rows.view.rows; ++row) {
      auto* logits = reinterpret_cast<float*>(row_at(rows.view, row));
      if (std::any_of(logits, logits + num_experts_, [](float x) { return x >= 0; })) continue;
      std::fill_n(logits, num_experts_, 0.0F);
    }
    const Buffer clamped = copy_of(rows.view, memory_);
    return inner_->select_experts(clamped.tensor());
  }

 private:
  std::unique_ptr<Router> inner_;
  Memory& memory_;
  Count num_experts_;
};

}  // namespace

std::unique_ptr<Experts> with_weights_twice(std::unique_ptr<Experts> inner, Memory& memory) {
  return std::make_unique<WeightsTwice>(std::move(inner), memory);
}

std::unique_ptr<PrepareFinalize> with_output_scaled(std::unique_ptr<PrepareFinalize> inner,
                                                    Memory& memory, float factor) {
  return with_spoiled_output(std::move(inner), [&memory, factor](const Tensor& output) {
    const OnHost rows(output, memory);
    for_row_type(output.dtype, [&](auto element) {
      using T = decltype(element);
      for (T& value : elements_of<T>(rows.view)) round_to(to_float(value) * factor, value);
    });
    memory.copy_from_host(rows.view, output);
  });
}

std::unique_ptr<Router> with_negative_logits_clamped(std::unique_ptr<Router> inner, Memory& memory,
                                                     Count num_experts) {
  return std::make_unique<NegativeLogitsClamped>(std::move(inner), memory, num_experts);
}

std::unique_ptr<PrepareFinalize> with_stale_tail(std::unique_ptr<PrepareFinalize> inner,
                                                 Memory& memory) {
  std::vector<std::byte> before;  // the output of the step before
  return with_spoiled_output(std::move(inner), [&memory, before](const Tensor& output) mutable {
    const OnHost rows(output, memory);
    const auto whole = static_cast<std::size_t>(bytes_of(output));
    if (whole > 0 && before.size() > whole) {
      const auto tail = static_cast<std::size_t>(row_bytes(output));
      std::memcpy(row_at(rows.view, output.rows - 1), before.data() + whole - tail, tail);
      memory.copy_from_host(rows.view, output);
    }
    before = rows.bytes;
  });
}

}  // namespace moe
