// Sizes are rows of the layer's width; digests are of the bytes as they lie there.
// What is NaN in a buffer is POISON's.

#include "sim/storage_checks.h"

#include <functional>

#include "kernels/base/digest.h"
#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

class CapacityCheck {
 public:
  CapacityCheck(const LayerContract& contract, golden::Cell cell, CheckLedger& ledger)
      : contract_(contract), cell_(cell), ledger_(ledger) {}

  // written: the rows that somebody puts there, at least, of that many bytes.
  void size(std::string_view what, const Tensor& buffer, Count written, Count bytes) {
    const Capabilities& capabilities = contract_.facts.capabilities;
    if (contract_.is_batched()) return;
    const Count worst = contract_.rows_max(cell_.step);
    const bool gets_all = capabilities.dispatch_reach != DispatchReach::owner_ranks;
    const Count needed = gets_all ? worst : written;
    const Count declared = bytes == 0 ? needed : bytes_of(buffer) / bytes;
    // Exactly what came, or what can come at most: anything between is another rule's number, which
    // some other step will overflow.
    if (declared > written && declared < worst && !capabilities.pads_received_rows()) {
      found(text(what, " is declared for ", declared, " rows, neither the ", written,
                 " that came nor the worst case of ", worst));
    }
    if (declared < needed) {
      found(text(what, " is declared for ", declared, " rows, ", needed, " must fit"));
    }
    if (declared > worst && !capabilities.pads_received_rows()) {
      found(
          text(what, " is declared for ", declared, " rows, more than the worst case of ", worst));
    }
  }

  // Counts of an expert's room, which must hold them.
  void expert_rooms(const Tensor& expert_num_tokens, Memory& memory) {
    if (!contract_.is_batched()) return;
    const HostCopy copy(expert_num_tokens, memory);
    const auto counts = elements_of<std::int32_t>(copy.tensor());
    for (std::size_t expert = 0; expert < counts.size(); ++expert) {
      if (counts[expert] >= 0 && counts[expert] <= contract_.expert_capacity()) continue;
      found(text("local expert ", expert, " says that it has ", counts[expert],
                 " rows, in room for ", contract_.expert_capacity()));
    }
  }

  void tokens_per_rank() {
    if (!contract_.facts.capabilities.fixed_capacity) return;
    const Count capacity = contract_.max_num_tokens;
    const DispatchedTokens dispatched = contract_.facts.tokens(cell_.step);
    for (const Count tokens : dispatched.rows_per_rank()) {
      if (tokens > capacity) found(text(tokens, " tokens of one rank, of at most ", capacity));
    }
  }

  void found(const std::string& what) {
    ledger_.found("CAP", moment_of(cell_, 0), text(place_text(cell_), ", experts: ", what));
  }

 private:
  const LayerContract& contract_;
  golden::Cell cell_;
  CheckLedger& ledger_;
};

}  // namespace

void check_capacity(const LayerContract& contract, golden::Cell cell, const Dispatched& dispatched,
                    Memory& memory, CheckLedger& ledger) {
  ledger.looked("CAP");
  CapacityCheck check(contract, cell, ledger);
  check.tokens_per_rank();
  check.expert_rooms(dispatched.expert_num_tokens, memory);
  const Count rows = dispatched.hidden_states.rows;
  const bool is_received = contract.facts.layer_moves_rows;
  const auto received = dispatched.handle.buffer_of(dispatched.hidden_states);
  if (is_received && received)
    check.size("the buffer of dispatched rows", *received, rows,
               row_bytes(dispatched.hidden_states));
  for (const Tensor& workspace : dispatched.handle.workspaces()) {
    check.size("a workspace of the experts", workspace, rows,
               contract.hidden_size * size_of(contract.dtype));
  }
  if (dispatched.handle.guards_intact()) return;
  check.found("a guard row behind the dispatched rows or a workspace was overwritten");
}

void check_guards(golden::Cell cell, const Buffer& buffer, std::string_view what,
                  CheckLedger& ledger) {
  if (buffer.guards_intact()) return;
  ledger.found("CAP", moment_of(cell, 1),
               text(place_text(cell), ", combine: a guard row of ", what, " was overwritten"));
}

ConstInput::ConstInput(std::string_view name, const Tensor& tensor, Memory& memory)
    : name_(name), tensor_(tensor), memory_(&memory), digest_(digest()) {}

std::uint64_t ConstInput::digest() const {
  const HostCopy host(tensor_, *memory_);
  return digest_of({static_cast<const std::byte*>(host.tensor().data),
                    static_cast<std::size_t>(bytes_of(tensor_))});
}

void ConstInput::check(golden::Cell cell, CheckLedger& ledger) const {
  ledger.looked("ALIAS");
  if (digest() == digest_) return;
  ledger.found("ALIAS", moment_of(cell, 1),
               text(place_text(cell), ", output: the layer's input ", name_, " ",
                    shape_text(tensor_), " is not what it was before"));
}

void ConstInput::check_apart(golden::Cell cell, std::string_view what, const Tensor& made,
                             CheckLedger& ledger) const {
  const std::less<> is_before;
  const auto* begin = static_cast<const std::byte*>(tensor_.data);
  const auto* other = static_cast<const std::byte*>(made.data);
  const bool overlaps =
      is_before(begin, other + bytes_of(made)) && is_before(other, begin + bytes_of(tensor_));
  if (!overlaps) return;
  ledger.found("ALIAS", moment_of(cell, 1),
               text(place_text(cell), ", output: ", what, " ", shape_text(made),
                    " shares memory with the input ", name_));
}

}  // namespace moe::sim
