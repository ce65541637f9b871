// Padding and numbers.
// Six digits are enough to follow a sum by hand.

#include "sim/text_layout.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernels/base/text.h"

namespace moe::sim {

std::string padded(std::string words, std::size_t width) {
  words.resize(std::max(words.size(), width), ' ');
  return words;
}

std::string right_aligned(const std::string& words, std::size_t width) {
  return std::string(width - std::min(width, words.size()), ' ') + words;
}

// Six significant digits.
std::string brief(double value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value + 0.0,
                                 std::chars_format::general, 6);
  return {digits.data(), end.ptr};
}

std::string counted(Count count, const std::string& noun) {
  return text(count, " ", noun, count == 1 ? "" : "s");
}

std::string ordinal(Count number) {
  const bool is_teen = number % 100 / 10 == 1;
  const std::string_view ending = is_teen            ? "th"
                                  : number % 10 == 1 ? "st"
                                  : number % 10 == 2 ? "nd"
                                  : number % 10 == 3 ? "rd"
                                                     : "th";
  return text(number, ending);
}

std::string shell_text(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) {
    const bool is_plain =
        !word.empty() && word.find_first_of(" \t\n'\"\\$`*?[]{}()<>|&;!#~") == std::string::npos;
    std::string inside;
    for (const char letter : word) inside += letter == '\'' ? "'\\''" : std::string(1, letter);
    quoted.push_back(is_plain ? word : "'" + inside + "'");
  }
  return joined(quoted, " ");
}

}  // namespace moe::sim
