// What the messages of one Gloo operation are, apart from Gloo: their slots, and who is to blame
// when they do not arrive. Only gloo_communicator.cc sends them.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "comm/operation.h"
#include "kernels/base/tensor.h"
#include "kernels/base/text.h"

namespace moe {

// The number of the barrier in which a new mesh meets; the first operation has 0.
inline constexpr Count before_first = -1;

// One message to or from a peer.
struct WireMessage {
  int peer = 0;
  int tensor_id = 0;
  Tensor rows;
};

// What two messages must share to meet: 40 bits of size, 6 of the tensor in its list, 4 of the
// operation, the rest its number.
struct WireSlot {
  Operation operation;
  Count number;

  std::uint64_t operator()(const WireMessage& message) const {
    const auto bytes = static_cast<std::uint64_t>(bytes_of(message.rows));
    const auto tensor = static_cast<std::uint64_t>(message.tensor_id);
    MOE_CHECK(bytes < 1ULL << 40U && tensor < 1U << 6U,
              text("tensor ", tensor, " with ", bytes, " bytes in one message"));
    const Operation kind = operation == Operation::recv ? Operation::send : operation;
    return static_cast<std::uint64_t>(number) << 50U | static_cast<std::uint64_t>(kind) << 46U |
           tensor << 40U | bytes;
  }

  // "operation 3 (all_reduce, by all_gather_v)". whole: what the operation is a part of.
  std::string words(const std::string& group, std::optional<Operation> whole) const {
    if (number == before_first) return text("start of group '", group, "'");
    const std::string first = whole ? text(name_of(*whole), ", by ") : "";
    return text("operation ", number, " (", first, name_of(operation), ")");
  }

  // Of a message that nobody ever sends.
  std::uint64_t of_none() const {
    return static_cast<std::uint64_t>(number) << 50U | std::uint64_t{15} << 46U;
  }
};

// Why an exchange failed: the peers and what they did.
struct WireFailure {
  std::set<int> closed;
  std::set<int> silent;

  bool any() const { return !closed.empty() || !silent.empty(); }
  // "peer rank 2 closed the connection".
  std::string words(std::chrono::milliseconds deadline) const {
    const std::string mute =
        text("peer ", ranks_text(std::vector<int>(silent.begin(), silent.end())));
    if (closed.empty()) return text(mute, " did not answer within ", deadline.count(), " ms");
    const std::string gone =
        text("peer ", ranks_text(std::vector<int>(closed.begin(), closed.end())));
    return text(gone, " closed the connection", silent.empty() ? "" : "; nothing yet from " + mute);
  }
};

}  // namespace moe
