// Numbers as text and the nearest word of a list, for messages and reports.
// Called by every room; prints nothing.

#include "kernels/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace moe {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

}  // namespace

void append_text(std::string& out, std::string_view words) { out += words; }
void append_text(std::string& out, const char* words) { out += words; }
void append_text(std::string& out, bool value) { out += value ? "true" : "false"; }
void append_text(std::string& out, char value) { out += value; }
void append_text(std::string& out, std::int64_t value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}
void append_text(std::string& out, std::uint64_t value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}
void append_text(std::string& out, float value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}
void append_text(std::string& out, double value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}

std::string number(double value) { return fmt::format("{}", value); }

std::string nearly(double value) { return fmt::format("{:.9g}", value); }

std::string hex2(std::uint8_t value) { return fmt::format("{:02x}", value); }

std::string hex16(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::string nearest(std::string_view word, const std::vector<std::string>& choices) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 2) + 1;
  for (const std::string& choice : choices) {
    const std::size_t distance = edit_distance(word, choice);
    if (distance < best_distance) {
      best_distance = distance;
      best = choice;
    }
  }
  return best;
}

}  // namespace moe
