// What was given on a command line, by a table of the options that a command has. Parsing is
// Boost's (given_options.cc); what a command makes of its options is in command_line.cc,
// run_options.cc and bench_options.cc.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"

namespace moe::sim {

enum class OptionKind { flag, word, words, number, count };

struct OptionRow {
  std::string word;
  OptionKind kind = OptionKind::flag;
  std::string value;  // its name in the help; flags have none
  std::string help;
  std::string valid = {};  // of numbers, where they are not any: "1 to 256"
};
using OptionTable = std::vector<OptionRow>;

class GivenOptions {
 public:
  // Throws ScenarioError for an unknown option (with the nearest), a value of the wrong type and an
  // empty one.
  // --json at the end or before another option means --json -.
  GivenOptions(const std::vector<std::string>& arguments, const OptionTable& table);

  bool has(const std::string& option) const;
  std::optional<std::string> word(const std::string& option) const;
  std::optional<int> number(const std::string& option) const;
  std::optional<Count> count(const std::string& option) const;
  std::vector<std::string> words(const std::string& option) const;  // as often as given

  // Words separated by commas, in one option or several. Throws for an empty one.
  std::vector<std::string> listed(const std::string& option) const;

  // Throws ScenarioError for a word that is not valid, with the nearest.
  std::optional<std::string> chosen_word(const std::string& option,
                                         const std::vector<std::string>& valid) const;

  // The same as its place among the valid ones.
  std::optional<std::size_t> place(const std::string& option,
                                   const std::vector<std::string>& valid) const;

  // --seed: a whole number from 0.
  std::optional<std::uint64_t> seed() const;

  // What belongs to no option, in order.
  const std::vector<std::string>& free_words() const { return free_words_; }

 private:
  struct Given {
    std::string option;
    std::string word;
    Count number = 0;
  };
  const Given* find(const std::string& option) const;

  std::vector<Given> given_;
  std::vector<std::string> free_words_;
};

// usage, then the options as --help prints them.
std::string options_help(const std::string& usage, const OptionTable& table);

}  // namespace moe::sim
