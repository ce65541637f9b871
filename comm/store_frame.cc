// length u32 | kind u8 | number i64 | key length u32 | key | value, little-endian whatever the
// host. The value is what remains of the length.

#include "comm/store_frame.h"

#include <charconv>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr std::size_t fixed_bytes = 1 + 8 + 4;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFFU));
}

std::uint64_t taken(std::string_view& from, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(from[i])) << (8 * i);
  }
  from.remove_prefix(bytes);
  return value;
}

}  // namespace

std::string encoded(const StoreFrame& frame) {
  const std::size_t bytes = fixed_bytes + frame.key.size() + frame.value.size();
  MOE_CHECK(bytes <= frame_bytes_max,
            text("a store frame of ", bytes, " bytes, at most ", frame_bytes_max, " are carried"));
  std::string out;
  out.reserve(frame_head_bytes + bytes);
  put(out, bytes, 4);
  put(out, static_cast<std::uint64_t>(frame.kind), 1);
  put(out, static_cast<std::uint64_t>(frame.number), 8);
  put(out, frame.key.size(), 4);
  return out + frame.key + frame.value;
}

std::uint32_t body_bytes(std::string_view head) {
  return static_cast<std::uint32_t>(taken(head, frame_head_bytes));
}

std::optional<StoreFrame> decoded(std::string_view body) {
  if (body.size() < fixed_bytes) return std::nullopt;
  const std::uint64_t kind = taken(body, 1);
  const auto number = static_cast<std::int64_t>(taken(body, 8));
  const std::uint64_t key_bytes = taken(body, 4);
  if (kind > static_cast<std::uint64_t>(FrameKind::refused)) return std::nullopt;
  if (key_bytes > body.size()) return std::nullopt;
  return StoreFrame{static_cast<FrameKind>(kind), number, std::string(body.substr(0, key_bytes)),
                    std::string(body.substr(key_bytes))};
}

void check_length(std::string_view key, std::string_view value) {
  const std::size_t bytes = key.size() + value.size();
  MOE_CHECK(bytes <= value_bytes_max,
            text("a key and its value of ", bytes, " bytes, at most ", value_bytes_max, " fit"));
}

std::string members_text(std::span<const int> members) { return joined(members, ","); }

std::vector<int> members_of(std::string_view value) {
  std::vector<int> found;
  const char* at = value.data();
  const char* end = at + value.size();
  while (at < end) {
    const auto [stop, error] = std::from_chars(at, end, found.emplace_back());
    if (error != std::errc{}) return {};
    at = stop == end ? end : stop + 1;
  }
  return found;
}

}  // namespace moe
