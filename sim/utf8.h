// Whether bytes are text: UTF-8 without control characters. The YAML reader asks before it parses.
// Nothing is converted here.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace moe::sim {

// The offset of the first byte that is not part of well-formed UTF-8 (no surrogates, no overlong
// forms, at most U+10FFFF), or is a control character other than tab, line feed, carriage return.
std::optional<std::size_t> first_not_text(std::string_view content);

// The bytes as text that any terminal and log takes: what first_not_text finds becomes \\xNN.
std::string printable(std::string_view content);

// Throws ScenarioError "file:line:column: …" with the offending byte.
void check_utf8_text(std::string_view content, const std::string& file);

}  // namespace moe::sim
