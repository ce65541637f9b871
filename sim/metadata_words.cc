// Reads integers, numbers and words from the strings of a file's metadata, and bounds each.
// A value ends up in messages, so it is cut there.

#include "sim/metadata_words.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {

const std::string& MetadataWords::word(const std::string& key) const {
  const auto found = header_.metadata.find(key);
  if (found == header_.metadata.end()) {
    throw ScenarioError(text(header_.path, ": the metadata has no '", key, "'"));
  }
  return found->second;
}

const std::string& MetadataWords::one_of(const std::string& key,
                                         const std::vector<std::string>& words) const {
  const std::string& value = word(key);
  if (std::find(words.begin(), words.end(), value) == words.end()) {
    refuse(key, text("must be one of ", joined(words)));
  }
  return value;
}

Count MetadataWords::count(const std::string& key, Count smallest, Count largest) const {
  const std::string& value = word(key);
  Count number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = error == std::errc() && end == value.data() + value.size();
  if (!whole || number < smallest || number > largest) {
    refuse(key, text("must be an integer from ", smallest, " to ", largest));
  }
  return number;
}

int MetadataWords::integer(const std::string& key, int smallest, int largest) const {
  return static_cast<int>(count(key, smallest, largest));
}

double MetadataWords::positive_number(const std::string& key) const {
  const std::string& value = word(key);
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = error == std::errc() && end == value.data() + value.size();
  if (!whole || !std::isfinite(number) || number <= 0) refuse(key, "must be a positive number");
  return number;
}

void MetadataWords::refuse(const std::string& key, const std::string& why) const {
  throw ScenarioError(
      text(header_.path, ": metadata '", key, "' is '", word(key).substr(0, 80), "', it ", why));
}

}  // namespace moe::sim
