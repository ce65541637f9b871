// The first indices of a mix: which numbers the experts' tables and weights are made of. Those of
// oracle.py.

#pragma once

namespace moe::golden {

struct ExpertStreams {
  int w13 = 3;
  int w2 = 4;
};
inline constexpr ExpertStreams routed_streams;
inline constexpr ExpertStreams shared_streams{.w13 = 10, .w2 = 11};

}  // namespace moe::golden
