// Typed values from YAML nodes. Numbers are taken only in forms that YAML 1.1 and 1.2 read alike,
// since golden/make_golden.py reads the same files with another library.

#include "sim/scenario_map.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/scenario_keys.h"

namespace moe::sim {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// -?(0|[1-9][0-9]*)
bool is_integer_text(std::string_view word) {
  if (word.starts_with("-")) word.remove_prefix(1);
  if (word.empty() || (word.size() > 1 && word[0] == '0')) return false;
  return std::all_of(word.begin(), word.end(), is_digit);
}

// An integer, or an integer, a dot and digits; no exponent.
bool is_number_text(std::string_view word) {
  const std::size_t dot = word.find('.');
  if (dot == std::string_view::npos) return is_integer_text(word);
  const std::string_view fraction = word.substr(dot + 1);
  return is_integer_text(word.substr(0, dot)) && !fraction.empty() &&
         std::all_of(fraction.begin(), fraction.end(), is_digit);
}

double number_in(const std::string& word) {
  double number = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(word.data(), word.data() + word.size(), number);
  return number;
}

bool is_plain(const YamlNode& node) { return node.kind == YamlKind::scalar && !node.quoted; }

// Whether the value is one that a pending key may have.
bool is_supported(const YamlNode& node, const std::vector<std::string>& choices) {
  for (const std::string& choice : choices) {
    if (choice == "[]" && node.kind == YamlKind::sequence && node.items.empty()) return true;
    if (choice == "{}" && node.kind == YamlKind::map && node.entries.empty()) return true;
    if (node.kind != YamlKind::scalar) continue;
    if (node.scalar == choice) return true;
    if (is_number_text(node.scalar) && is_number_text(choice) &&
        number_in(node.scalar) == number_in(choice)) {
      return true;
    }
  }
  return false;
}

std::string plainly(const YamlNode& node) {
  const bool word = node.kind == YamlKind::scalar && !node.scalar.empty();
  return word ? node.scalar.substr(0, 80) : described(node);
}

std::string not_supported(const YamlNode& node, const ScenarioKey& key) {
  const bool whole = key.choices.empty();
  return text(plainly(node), " is not supported yet (",
              whole ? "leave the key out" : text("only ", joined(key.choices)), ")");
}

bool is_among(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

void refuse_at(const YamlNode& node, const std::string& name, const std::string& why) {
  throw ScenarioError(text(node.place(), ": ", name.empty() ? "" : text(name, ": "), why));
}

std::string no_list_of(const YamlNode& node, const std::string& things) {
  const bool is_empty = node.kind == YamlKind::sequence && node.items.empty();
  return text(described(node), is_empty ? ", in the place of a list of " : " is not a list of ",
              things);
}

const std::string& chosen_at(const YamlNode& node, const std::string& name,
                             const std::vector<std::string>& valid) {
  if (node.kind != YamlKind::scalar) {
    refuse_at(node, name, text(described(node), " is not one of ", joined(valid)));
  }
  return chosen(text(node.place(), ": ", name), node.scalar, valid);
}

std::int64_t integer_of(const YamlNode& node, const std::string& name, std::int64_t smallest,
                        std::int64_t largest) {
  const std::string& word = node.scalar;
  std::int64_t value = 0;
  bool good = is_plain(node) && is_integer_text(word);
  if (good) {
    good = std::from_chars(word.data(), word.data() + word.size(), value).ec == std::errc();
  }
  if (!good || value < smallest || value > largest) {
    refuse_at(node, name,
              text(described(node), " is not an integer from ", smallest, " to ", largest));
  }
  return value;
}

std::pair<int, int> range_of(const YamlNode& node, const std::string& name) {
  constexpr int largest = std::numeric_limits<int>::max();
  if (node.kind != YamlKind::sequence || node.items.size() != 2) {
    refuse_at(node, name, text(described(node), " is not a range [first, one after the last]"));
  }
  const int first = static_cast<int>(integer_of(node.items[0], name, 0, largest));
  const int last = static_cast<int>(integer_of(node.items[1], name, 0, largest));
  if (first >= last) refuse_at(node, name, text("the range [", first, ", ", last, ") is empty"));
  return {first, last};
}

ScenarioMap::ScenarioMap(const YamlNode& node, std::string name, std::string section,
                         Scenario& scenario)
    : node_(node), name_(std::move(name)), section_(std::move(section)) {
  const bool left_open = is_plain(node) && node.scalar.empty();
  if (node.kind != YamlKind::map && !left_open) {
    refuse_at(node, name_, text(described(node), " is not a map of keys"));
  }
  for (const YamlEntry& entry : node.entries) {
    check_key(entry);
    const std::string key = full_name(entry.key.scalar);
    scenario.written[key] = {entry.value.place(), entry.value.scalar};
  }
}

void ScenarioMap::check_key(const YamlEntry& entry) const {
  const ScenarioKey* key = find_key(section_, entry.key.scalar);
  if (key == nullptr) refuse_at(entry.key, name_, unknown_key_text(section_, entry.key.scalar));
  if (key->state == KeyState::pending && !is_supported(entry.value, key->choices)) {
    refuse_at(entry.value, full_name(key->name), not_supported(entry.value, *key));
  }
}

std::string ScenarioMap::full_name(const std::string& key) const {
  return name_.empty() ? key : text(name_, ".", key);
}

std::int64_t ScenarioMap::integer(const std::string& key, Bounds bounds,
                                  std::int64_t otherwise) const {
  const YamlNode* value = find(key);
  if (value == nullptr) return otherwise;
  return integer_of(*value, full_name(key), bounds.smallest, bounds.largest);
}

double ScenarioMap::number(const std::string& key, double largest, double otherwise) const {
  return number(key, NumberBounds{0.0, largest}, otherwise);
}

double ScenarioMap::number(const std::string& key, NumberBounds bounds, double otherwise) const {
  const YamlNode* value = find(key);
  if (value == nullptr) return otherwise;
  const bool good = is_plain(*value) && is_number_text(value->scalar);
  const double number = good ? number_in(value->scalar) : std::numeric_limits<double>::quiet_NaN();
  if (!(number >= bounds.smallest && number <= bounds.largest)) {
    refuse_at(*value, full_name(key),
              text(described(*value), " is not a number from ", bounds.smallest, " to ",
                   bounds.largest, ", written like 1 or 0.5"));
  }
  return number;
}

bool ScenarioMap::boolean(const std::string& key, bool otherwise) const {
  const YamlNode* value = find(key);
  if (value == nullptr) return otherwise;
  if (!is_plain(*value) || (value->scalar != "true" && value->scalar != "false")) {
    refuse_at(*value, full_name(key), text(described(*value), " is not true or false"));
  }
  return value->scalar == "true";
}

std::string ScenarioMap::line_of_text(const std::string& key, const std::string& otherwise) const {
  const YamlNode* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->kind != YamlKind::scalar || value->scalar.empty()) {
    refuse_at(*value, full_name(key), text(described(*value), " is not a text"));
  }
  return value->scalar;
}

std::string ScenarioMap::word(const std::string& key, const std::string& otherwise) const {
  const YamlNode* value = find(key);
  if (value == nullptr) return otherwise;
  const ScenarioKey* row = find_key(section_, key);
  MOE_CHECK(row != nullptr, text("the key table has no ", full_name(key)));
  const bool is_later =
      value->kind == YamlKind::scalar ? is_among(row->later, value->scalar) : !row->later.empty();
  if (is_later) refuse_at(*value, full_name(key), not_supported(*value, *row));
  return chosen_at(*value, full_name(key), row->choices);
}

}  // namespace moe::sim
