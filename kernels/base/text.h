// text(a, b, …) joins values into one string; joined() lists them. Messages are built here and
// nowhere printed: only sim/ prints. fmt stays in text.cc, since its header is the slowest to
// compile.

#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace moe {

// One value at the end of a string: words as they are, numbers as fmt writes them with {}.
void append_text(std::string& out, std::string_view words);
void append_text(std::string& out, const char* words);  // or a literal would become a bool
void append_text(std::string& out, bool value);
void append_text(std::string& out, char value);
void append_text(std::string& out, std::int64_t value);
void append_text(std::string& out, std::uint64_t value);
void append_text(std::string& out, float value);
void append_text(std::string& out, double value);

template <std::integral Value>
void append_text(std::string& out, Value value) {
  using Wide = std::conditional_t<std::is_signed_v<Value>, std::int64_t, std::uint64_t>;
  append_text(out, static_cast<Wide>(value));
}

// The values one after the other.
template <typename... Values>
std::string text(const Values&... values) {
  std::string out;
  (append_text(out, values), ...);
  return out;
}

// "a, b, c" from any range of values that text can write.
template <typename Range>
std::string joined(const Range& range, std::string_view separator = ", ") {
  std::string out;
  bool first = true;
  for (const auto& value : range) {
    if (!first) out += separator;
    first = false;
    append_text(out, value);
  }
  return out;
}

// The shortest decimal that reads back as the same double.
std::string number(double value);

// Nine significant digits, for what differs between machines in the last ones (exp does).
std::string nearly(double value);

// Two lower-case hexadecimal digits.
std::string hex2(std::uint8_t value);

// 16 lower-case hexadecimal digits.
std::string hex16(std::uint64_t value);

// The word of the choices that is nearest to a mistyped one by edit distance; empty if none is
// near.
std::string nearest(std::string_view word, const std::vector<std::string>& choices);

}  // namespace moe
