// Era: the places of vLLM's history that profiles stand for, in its order, and spans of them. Every
// table that says since when and until when something held writes it with these.

#pragma once

#include <cstddef>

#include "backends/profile.h"

namespace moe {

enum class Era : std::ptrdiff_t {
  v0_9,
  pre_33724,
  post_33724,
  post_36294,
  post_36286,
  post_39107,
  post_33728,
  post_40412,
  late_2026
};

inline Era era_of(const Profile& profile) {
  return static_cast<Era>(&profile - all_profiles().data());
}

// Both ends belong to it.
struct EraSpan {
  Era first = Era::v0_9;
  Era last = Era::late_2026;

  bool covers(const Profile& profile) const {
    return first <= era_of(profile) && era_of(profile) <= last;
  }
};

}  // namespace moe
