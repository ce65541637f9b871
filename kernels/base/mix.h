// mix(seed, a, b, …): the only source of made-up numbers (numerics.md, 1). golden/oracle.py has the
// same function in Python, and a test holds the two together. No random state exists.

#pragma once

#include <concepts>
#include <cstdint>

namespace moe {

// One round of splitmix64: adds the golden gamma, then mixes the bits.
constexpr std::uint64_t splitmix64(std::uint64_t state) {
  std::uint64_t z = state + 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

// One further index on a started mix: mix(seed, a, b) == mixed_with(mixed_with(splitmix64(seed),
// a), b).
constexpr std::uint64_t mixed_with(std::uint64_t z, std::uint64_t index) {
  return splitmix64(z ^ index);
}

template <std::integral... Index>
constexpr std::uint64_t mix(std::uint64_t seed, Index... indices) {
  std::uint64_t z = splitmix64(seed);
  ((z = mixed_with(z, static_cast<std::uint64_t>(indices))), ...);
  return z;
}

// A number near a standard normal one, as the whole number centred(z) over centred_deviation: the
// sum of the four 16-bit parts of z, its mean taken off.
constexpr std::int64_t centred(std::uint64_t z) {
  const std::uint64_t sum =
      (z & 0xFFFFU) + ((z >> 16U) & 0xFFFFU) + ((z >> 32U) & 0xFFFFU) + (z >> 48U);
  return static_cast<std::int64_t>(sum) - 131070;
}
inline constexpr double centred_deviation = 37837.0;

}  // namespace moe
