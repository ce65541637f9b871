// Parsing with Boost.Program_options, whose types end here.
// Every word that names something is checked by the commands, with the valid ones in the message.

#include "sim/given_options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <limits>
#include <sstream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

namespace options = boost::program_options;
using Words = std::vector<std::string>;

template <typename Value>
options::typed_value<Value>* named_value(const OptionRow& row) {
  return options::value<Value>()->value_name(row.value);
}

options::options_description description_of(const std::string& caption, const OptionTable& table) {
  options::options_description description(caption);
  for (const OptionRow& row : table) {
    auto add = description.add_options();
    const char* word = row.word.c_str();
    const char* help = row.help.c_str();
    switch (row.kind) {
      case OptionKind::flag:
        add(word, help);
        break;
      case OptionKind::word:
      case OptionKind::number:
      case OptionKind::count:
        add(word, named_value<std::string>(row), help);
        break;
      case OptionKind::words:
        add(word, named_value<Words>(row)->composing(), help);
        break;
    }
  }
  return description;
}

// A value as the option's number, which Boost would refuse without saying what would do.
template <typename Number>
Number number_in(const OptionRow& row, const std::string& word) {
  Number number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error == std::errc() && end == word.data() + word.size()) return number;
  throw ScenarioError(text("--", row.word, ": '", word, "' is not a whole number",
                           row.valid.empty()
                               ? text(" of at most ", std::numeric_limits<Number>::max())
                               : text(", ", row.valid)));
}

// An empty word names no file and nothing else: an option that was written is never left out.
const std::string& word_in(const OptionRow& row, const std::string& word) {
  if (!word.empty()) return word;
  throw ScenarioError(
      text("--", row.word, " '': a word is empty (--", row.word, " ", row.value, ")"));
}

// --json at the end or before another option means standard output.
Words with_json_target(const Words& arguments) {
  Words words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    words.push_back(arguments[i]);
    const bool is_followed = i + 1 < arguments.size() && !arguments[i + 1].starts_with("--");
    if (arguments[i] == "--json" && !is_followed) words.push_back("-");
  }
  return words;
}

// Under which name Boost keeps the words that belong to no option.
constexpr const char* no_option = "words without an option";

options::variables_map parsed(const Words& arguments, const OptionTable& table) {
  options::options_description all;
  all.add(description_of("", table)).add_options()(no_option, options::value<Words>());
  options::positional_options_description positional;
  positional.add(no_option, -1);
  options::variables_map given;
  try {
    options::store(options::command_line_parser(with_json_target(arguments))
                       .options(all)
                       .positional(positional)
                       .style(options::command_line_style::unix_style &
                              ~options::command_line_style::allow_guessing)
                       .run(),
                   given);
  } catch (const options::unknown_option& error) {
    Words known;
    for (const OptionRow& row : table) known.push_back("--" + row.word);
    chosen("unknown option", error.get_option_name(), known);
    throw ScenarioError(error.what());
  } catch (const options::error& error) {
    throw ScenarioError(error.what());
  }
  return given;
}

}  // namespace

GivenOptions::GivenOptions(const Words& arguments, const OptionTable& table) {
  const options::variables_map given = parsed(arguments, table);
  for (const OptionRow& row : table) {
    if (given.count(row.word) == 0) continue;
    const options::variable_value& value = given[row.word];
    switch (row.kind) {
      case OptionKind::flag:
        given_.push_back({row.word, ""});
        break;
      case OptionKind::word:
        given_.push_back({row.word, word_in(row, value.as<std::string>())});
        break;
      case OptionKind::words:
        for (const std::string& word : value.as<Words>()) {
          given_.push_back({row.word, word_in(row, word)});
        }
        break;
      case OptionKind::number:
        given_.push_back({row.word, "", number_in<int>(row, value.as<std::string>())});
        break;
      case OptionKind::count:
        given_.push_back({row.word, "", number_in<Count>(row, value.as<std::string>())});
        break;
    }
  }
  if (given.count(no_option) > 0) free_words_ = given[no_option].as<Words>();
}

const GivenOptions::Given* GivenOptions::find(const std::string& option) const {
  for (const Given& given : given_) {
    if (given.option == option) return &given;
  }
  return nullptr;
}

bool GivenOptions::has(const std::string& option) const { return find(option) != nullptr; }

std::optional<std::string> GivenOptions::word(const std::string& option) const {
  const Given* given = find(option);
  return given == nullptr ? std::nullopt : std::optional(given->word);
}

std::optional<int> GivenOptions::number(const std::string& option) const {
  const Given* given = find(option);
  return given == nullptr ? std::nullopt : std::optional(static_cast<int>(given->number));
}

std::optional<Count> GivenOptions::count(const std::string& option) const {
  const Given* given = find(option);
  return given == nullptr ? std::nullopt : std::optional(given->number);
}

Words GivenOptions::words(const std::string& option) const {
  Words words;
  for (const Given& given : given_) {
    if (given.option == option) words.push_back(given.word);
  }
  return words;
}

Words GivenOptions::listed(const std::string& option) const {
  Words words;
  for (const std::string& value : this->words(option)) {
    std::istringstream stream(value + ",");
    for (std::string word; std::getline(stream, word, ',');) {
      if (word.empty()) throw ScenarioError(text("--", option, " '", value, "': a word is empty"));
      words.push_back(word);
    }
  }
  return words;
}

std::optional<std::string> GivenOptions::chosen_word(const std::string& option,
                                                     const Words& valid) const {
  const auto given = word(option);
  if (given) chosen(text("--", option), *given, valid);
  return given;
}

std::optional<std::size_t> GivenOptions::place(const std::string& option,
                                               const Words& valid) const {
  const auto given = chosen_word(option, valid);
  if (!given) return std::nullopt;
  return static_cast<std::size_t>(std::ranges::find(valid, *given) - valid.begin());
}

// Boost would read -1 as the largest one.
std::optional<std::uint64_t> GivenOptions::seed() const {
  const auto words = word("seed");
  if (!words) return std::nullopt;
  std::int64_t seed = -1;  // files hold seeds up to the same limit
  const auto [end, error] = std::from_chars(words->data(), words->data() + words->size(), seed);
  if (error != std::errc() || end != words->data() + words->size() || seed < 0) {
    throw ScenarioError(text("--seed: '", *words, "' is not a whole number from 0 to ", INT64_MAX));
  }
  return static_cast<std::uint64_t>(seed);
}

std::string options_help(const std::string& usage, const OptionTable& table) {
  std::ostringstream out;
  out << description_of(usage, table);
  return out.str();
}

}  // namespace moe::sim
