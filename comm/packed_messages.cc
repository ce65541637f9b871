// Joining by peer, in the order of the list.
// Rows are seen as bytes here: what they are does not matter to a wire.

#include "comm/packed_messages.h"

#include <map>

namespace moe {
namespace {

Tensor as_bytes(const Tensor& rows) {
  return {rows.data, 1, bytes_of(rows), DType::u8, rows.device};
}

}  // namespace

PackedMessages::PackedMessages(const std::vector<WireMessage>& messages, Memory& memory)
    : memory_(memory) {
  std::map<int, std::vector<WireMessage>> by_peer;
  for (const WireMessage& message : messages) by_peer[message.peer].push_back(message);
  std::map<int, Count> joined_bytes;
  for (const auto& [peer, own] : by_peer) {
    Count bytes = 0;
    for (const WireMessage& message : own) bytes += bytes_of(message.rows);
    if (own.size() > 1 && bytes <= packed_bytes_max) joined_bytes[peer] = bytes;
  }
  for (const WireMessage& message : messages) {
    const auto found = joined_bytes.find(message.peer);
    if (found == joined_bytes.end()) {
      messages_.push_back(message);
    } else if (found->second > 0) {
      join(message.peer, by_peer[message.peer], std::exchange(found->second, 0));
    }
  }
}

void PackedMessages::join(int peer, const std::vector<WireMessage>& messages, Count bytes) {
  joined_.emplace_back(memory_, Shape{bytes, 1, DType::u8});
  const Tensor& whole = joined_.back().tensor();
  Count begin = 0;
  for (const WireMessage& message : messages) {
    const Tensor rows = as_bytes(message.rows);
    parts_.emplace_back(rows, as_bytes(rows_of(whole, begin, rows.columns)));
    begin += rows.columns;
  }
  messages_.push_back({peer, 0, whole});
}

void PackedMessages::pack() {
  for (const auto& [rows, place] : parts_) memory_.copy(rows, place);
}

void PackedMessages::unpack() {
  for (const auto& [rows, place] : parts_) memory_.copy(place, rows);
}

}  // namespace moe
