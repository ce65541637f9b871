// Small messages of one operation to the same peer, joined into one: a message over TCP costs far
// more than a copy of a few kilobytes. Both ends know all sizes, so both join the same ones. Only
// gloo_communicator.cc uses it.

#pragma once

#include <utility>
#include <vector>

#include "comm/gloo_messages.h"
#include "kernels/base/buffer.h"

namespace moe {

class PackedMessages {
 public:
  // Messages of one direction. A peer's are joined if there are several with at most
  // packed_bytes_max bytes in all; the others stay as they are.
  PackedMessages(const std::vector<WireMessage>& messages, Memory& memory);

  // What to send or to receive in their place.
  const std::vector<WireMessage>& messages() const { return messages_; }

  // Before sending: the rows into the joined messages. After receiving: out of them.
  void pack();
  void unpack();

 private:
  void join(int peer, const std::vector<WireMessage>& messages, Count bytes);

  Memory& memory_;
  std::vector<WireMessage> messages_;
  std::vector<Buffer> joined_;
  std::vector<std::pair<Tensor, Tensor>> parts_;  // {rows, their place in a joined message}
};

inline constexpr Count packed_bytes_max = 64 * 1024;

}  // namespace moe
