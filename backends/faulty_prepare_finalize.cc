// MF-37, the early return of an empty rank, and the flipped bit.
// Found by SEQ and by the judge.

#include "backends/faulty_prepare_finalize.h"

#include <utility>

#include "kernels/base/text.h"

namespace moe {
namespace {

class EarlyReturn final : public PrepareFinalize {
 public:
  explicit EarlyReturn(std::unique_ptr<PrepareFinalize> inner) : inner_(std::move(inner)) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    if (hidden_states.rows > 0) return inner_->prepare(hidden_states, routing, tokens);
    Dispatched nothing;
    nothing.hidden_states = hidden_states;
    nothing.routing = routing;
    return nothing;
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    if (output.rows > 0) inner_->finalize(expert_output, std::move(dispatched), output);
  }

 private:
  std::unique_ptr<PrepareFinalize> inner_;
};

class BitFlipper final : public PrepareFinalize {
 public:
  BitFlipper(std::unique_ptr<PrepareFinalize> inner, Memory& memory, FlippedBit fault)
      : inner_(std::move(inner)), memory_(memory), fault_(fault) {}

  Dispatched prepare(const Tensor& hidden_states, const Routing& routing,
                     RowCounts tokens) override {
    return inner_->prepare(hidden_states, routing, tokens);
  }

  void finalize(const Tensor& expert_output, Dispatched dispatched, const Tensor& output) override {
    inner_->finalize(expert_output, std::move(dispatched), output);
    if (call_++ == fault_.call) flip(output);
  }

 private:
  void flip(const Tensor& output) {
    const Count width = size_of(output.dtype);
    if (fault_.token >= output.rows || fault_.column >= output.columns || fault_.bit >= 8 * width) {
      throw ScenarioError(text("flip_bit: no bit ", fault_.bit, " of token ", fault_.token,
                               ", column ", fault_.column, " in ", shape_text(output)));
    }
    Tensor byte = {row_at(output, fault_.token) + fault_.column * width + fault_.bit / 8, 1, 1,
                   DType::u8, output.device};
    std::uint8_t value = 0;
    const Tensor host = {&value, 1, 1, DType::u8, {}};
    memory_.copy_to_host(byte, host);
    value = static_cast<std::uint8_t>(value ^ (1U << (fault_.bit % 8)));
    memory_.copy_from_host(host, byte);
  }

  std::unique_ptr<PrepareFinalize> inner_;
  Memory& memory_;
  FlippedBit fault_;
  Count call_ = 0;
};

}  // namespace

std::unique_ptr<PrepareFinalize> with_early_return(std::unique_ptr<PrepareFinalize> inner) {
  return std::make_unique<EarlyReturn>(std::move(inner));
}

std::unique_ptr<PrepareFinalize> with_flipped_bit(std::unique_ptr<PrepareFinalize> inner,
                                                  Memory& memory, FlippedBit fault) {
  return std::make_unique<BitFlipper>(std::move(inner), memory, fault);
}

}  // namespace moe
