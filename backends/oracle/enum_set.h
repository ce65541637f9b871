// EnumSet: a constant set of an enum's values, so that rows of tables can say "any of these".
// For enums of at most 32 values from 0; used by the tables of this folder.

#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>

namespace moe {

template <typename Enum>
class EnumSet {
 public:
  constexpr EnumSet() = default;
  constexpr EnumSet(std::initializer_list<Enum> values) {
    for (const Enum value : values) bits_ |= bit(value);
  }

  constexpr bool has(Enum value) const { return (bits_ & bit(value)) != 0; }
  constexpr bool has_all(EnumSet others) const { return (others.bits_ & ~bits_) == 0; }
  constexpr bool is_empty() const { return bits_ == 0; }
  constexpr int count() const { return std::popcount(bits_); }
  constexpr EnumSet with(EnumSet others) const { return EnumSet(bits_ | others.bits_); }
  constexpr EnumSet without(EnumSet others) const { return EnumSet(bits_ & ~others.bits_); }
  constexpr bool operator==(const EnumSet&) const = default;

 private:
  constexpr explicit EnumSet(std::uint32_t bits) : bits_(bits) {}
  static constexpr std::uint32_t bit(Enum value) {
    return std::uint32_t{1} << static_cast<int>(value);
  }

  std::uint32_t bits_ = 0;
};

}  // namespace moe
