// MF-37, the early return of an empty rank, and the flipped bit.
// Found by SEQ and by the judge.

#include "backends/faulty_prepare_finalize.h"

#include <utility>

#include "backends/lying_prepare_finalize.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

void flip(const FlippedBit& fault, const Tensor& output, Memory& memory) {
  const Count width = size_of(output.dtype);
  if (fault.token >= output.rows || fault.column >= output.columns || fault.bit >= 8 * width) {
    throw ScenarioError(text("flip_bit: no bit ", fault.bit, " of token ", fault.token, ", column ",
                             fault.column, " in ", shape_text(output)));
  }
  Tensor byte = {row_at(output, fault.token) + fault.column * width + fault.bit / 8, 1, 1,
                 DType::u8, output.device};
  std::uint8_t value = 0;
  const Tensor host = {&value, 1, 1, DType::u8, {}};
  memory.copy_to_host(byte, host);
  value = static_cast<std::uint8_t>(value ^ (1U << (fault.bit % 8)));
  memory.copy_from_host(host, byte);
}

}  // namespace

std::unique_ptr<PrepareFinalize> with_early_return(std::unique_ptr<PrepareFinalize> inner,
                                                   Memory& memory, int num_local_experts) {
  const auto prepare = [&memory, num_local_experts](PrepareFinalize& healthy,
                                                    const Tensor& hidden_states,
                                                    const Routing& routing, RowCounts tokens) {
    if (hidden_states.rows > 0) return healthy.prepare(hidden_states, routing, tokens);
    Dispatched nothing;
    nothing.hidden_states = hidden_states;
    nothing.routing = routing;
    nothing.expert_num_tokens =
        nothing.handle.keep(Buffer(memory, {num_local_experts, 1, DType::i32}));
    memory.fill(nothing.expert_num_tokens, 0);
    return nothing;
  };
  const auto finalize = [](PrepareFinalize& healthy, const Tensor& expert_output,
                           Dispatched dispatched, const Tensor& output) {
    if (output.rows > 0) healthy.finalize(expert_output, std::move(dispatched), output);
  };
  return lying(std::move(inner), {.prepare = prepare, .finalize = finalize});
}

std::unique_ptr<PrepareFinalize> with_flipped_bit(std::unique_ptr<PrepareFinalize> inner,
                                                  Memory& memory, FlippedBit fault) {
  return with_spoiled_output(std::move(inner),
                             [&memory, fault, call = Count{0}](const Tensor& output) mutable {
                               if (call++ == fault.call) flip(fault, output, memory);
                             });
}

}  // namespace moe
