// Text in columns for people: padding, counts with their noun, numbers that fit.
// For the reports and explanations; nothing here knows what it lays out.

#pragma once

#include <string>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

// Filled up with spaces, on the right or on the left; longer words stay as they are.
std::string padded(std::string words, std::size_t width);
std::string right_aligned(const std::string& words, std::size_t width);

// "1 row", "2 rows"
std::string counted(Count count, const std::string& noun);

// "1st", "2nd"
std::string ordinal(Count number);

// Six significant digits; no -0.
std::string brief(double value);

// Words as a shell reads them back: quoted where a character of theirs would mean something.
std::string shell_text(const std::vector<std::string>& words);

}  // namespace moe::sim
