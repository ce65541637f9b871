// A strict UTF-8 scanner (Unicode's table 3-7).
// Called by the readers of text files.

#include "sim/utf8.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

unsigned byte_at(std::string_view content, std::size_t at) {
  return at < content.size() ? static_cast<unsigned char>(content[at]) : 0U;
}

bool is_control(unsigned byte) {
  return (byte < 0x20U && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7FU;
}

// The length of the character that starts at a byte, 0 if none does.
std::size_t character_length(std::string_view content, std::size_t at) {
  const unsigned first = byte_at(content, at);
  if (first < 0x80U) return is_control(first) ? 0 : 1;
  const std::size_t length = first >= 0xF0U ? 4 : first >= 0xE0U ? 3 : 2;
  if (first < 0xC2U || first > 0xF4U) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(content, at + i) & 0xC0U) != 0x80U) return 0;
  }
  const unsigned second = byte_at(content, at + 1);
  const bool overlong = (first == 0xE0U && second < 0xA0U) || (first == 0xF0U && second < 0x90U);
  const bool surrogate = first == 0xEDU && second > 0x9FU;
  const bool too_large = first == 0xF4U && second > 0x8FU;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

std::optional<std::size_t> first_not_text(std::string_view content) {
  std::size_t at = 0;
  while (at < content.size()) {
    const std::size_t length = character_length(content, at);
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

std::string printable(std::string_view content) {
  std::string out;
  while (const std::optional<std::size_t> bad = first_not_text(content)) {
    const auto byte = static_cast<std::uint8_t>(content[*bad]);
    out += text(content.substr(0, *bad), "\\x", hex2(byte));
    content.remove_prefix(*bad + 1);
  }
  return out.append(content);
}

void check_utf8_text(std::string_view content, const std::string& file) {
  const std::optional<std::size_t> bad = first_not_text(content);
  if (!bad) return;
  const std::string_view before = content.substr(0, *bad);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t start =
      before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  throw ScenarioError(text(file, ":", line, ":", *bad - start + 1, ": the byte ", "0x",
                           hex2(byte_at(content, *bad)),
                           " is no UTF-8 text: is this a binary file?"));
}

}  // namespace moe::sim
