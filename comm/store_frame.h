// Frames of the store's wire: what a client asks and a server answers, as bytes and back. Strict on
// the way in, since anybody may connect. store.cc sends and receives them; nothing here does.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

enum class FrameKind : std::uint8_t { hello, set, get, lost, goodbye, ok, absent, refused };

// One question or answer. Fields that a kind does not need stay empty.
struct StoreFrame {
  FrameKind kind = FrameKind::ok;
  std::int64_t number = 0;  // hello: the member; get: the wait in ms
  std::string key = {};     // hello: the token
  std::string value = {};   // hello: store_protocol; refused: why
};

inline constexpr std::string_view store_protocol = "moebius store 1";
inline constexpr std::uint32_t frame_bytes_max = 1U << 20U;
inline constexpr std::uint32_t hello_bytes_max = 1U << 12U;  // of a connection not yet let in
inline constexpr std::size_t frame_head_bytes = 4;           // the length of what follows

inline constexpr std::size_t value_bytes_max = frame_bytes_max - 64;  // with its key

// The whole frame, head included. Throws ContractError above frame_bytes_max.
std::string encoded(const StoreFrame& frame);

// The length that a head of frame_head_bytes states.
std::uint32_t body_bytes(std::string_view head);

// RETURNS nothing for a body that is not a frame.
std::optional<StoreFrame> decoded(std::string_view body);

// Throws ContractError for what does not fit.
void check_length(std::string_view key, std::string_view value);

// A list of members as a value and back.
std::string members_text(std::span<const int> members);
std::vector<int> members_of(std::string_view value);

}  // namespace moe
