// text(a, b, …) joins values into one string; joined() lists them. The one door to fmt.
// Messages are built here and nowhere printed: only sim/ prints.

#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

// The values one after the other, as fmt writes each with {}.
template <typename... Values>
std::string text(const Values&... values) {
  fmt::memory_buffer out;
  (fmt::format_to(std::back_inserter(out), "{}", values), ...);
  return {out.data(), out.size()};
}

// "a, b, c" from any range whose elements fmt can write.
template <typename Range>
std::string joined(const Range& range, std::string_view separator = ", ") {
  fmt::memory_buffer out;
  bool first = true;
  for (const auto& value : range) {
    if (!first) out.append(separator);
    first = false;
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
  return {out.data(), out.size()};
}

// The shortest decimal that reads back as the same double.
std::string number(double value);

// 16 lower-case hexadecimal digits.
std::string hex16(std::uint64_t value);

// The word of the choices that is nearest to a mistyped one by edit distance; empty if none is
// near.
std::string nearest(std::string_view word, const std::vector<std::string>& choices);

}  // namespace moe
