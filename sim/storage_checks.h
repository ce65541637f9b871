// CAP and ALIAS: whether buffers are as large as their worst case and no larger, whether somebody
// wrote behind them, and whether inputs stay what they were.

#pragma once

#include <string>
#include <vector>

#include "sim/layer_contract.h"

namespace moe::sim {

// CAP of what a dispatch received and of the experts' workspaces, once the experts are done.
// REQUIRES the standard format for sizes; guards of any.
void check_capacity(const LayerContract& contract, golden::Cell cell, const Dispatched& dispatched,
                    Memory& memory, CheckLedger& ledger);

// Guard rows of one buffer. what names it.
void check_guards(golden::Cell cell, const Buffer& buffer, std::string_view what,
                  CheckLedger& ledger);

// A tensor that its callee must not change, and the digest of its bytes when it went in.
class ConstInput {
 public:
  ConstInput(std::string_view name, const Tensor& tensor, Memory& memory);

  // Whether the bytes are still the same.
  void check(golden::Cell cell, CheckLedger& ledger) const;
  // Whether made shares no byte with the input.
  void check_apart(golden::Cell cell, std::string_view what, const Tensor& made,
                   CheckLedger& ledger) const;

 private:
  std::uint64_t digest() const;

  std::string_view name_;
  Tensor tensor_;
  Memory* memory_;
  std::uint64_t digest_ = 0;
};

}  // namespace moe::sim
