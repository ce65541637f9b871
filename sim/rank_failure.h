// RankFailure: how a rank's run ended before its end, and when. What a thrown error says of it is
// decided here.

#pragma once

#include <cstdint>
#include <exception>
#include <string>

namespace moe::sim {

// refused: a call that its library refuses on every rank, so that nobody waits for a peer.
enum class FailureKind { none, input, system, contract, interrupted, refused };

// How a rank ended.
struct RankFailure {
  FailureKind kind = FailureKind::none;
  std::string message;
  std::int64_t at_ns = 0;  // steady clock: who failed first
};

// A failure of that kind, at this moment.
RankFailure failure_now(FailureKind kind, const std::string& message);

// The failure of a rank whose run threw, now.
RankFailure failure_of(const std::exception& error);

}  // namespace moe::sim
