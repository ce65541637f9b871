// Reports: outcomes as text for people and as JSON for programs (formats.md, 7).
// The only files that know how a verdict looks; they print to streams that main gives them.

#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "sim/json_document.h"
#include "sim/verdict.h"

namespace moe::sim {

struct Summary {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  int errors = 0;

  void add(const Verdict& verdict);
};

// The exit code of a run: the largest of 4, 3, 2, 1 that any verdict has; 130 if interrupted.
int exit_code_of(const std::vector<Outcome>& outcomes);

enum class Ansi { plain, colored };

std::string outcome_text(const Outcome& outcome, Ansi ansi);
std::string summary_text(const Summary& summary);

// Where --json goes: a file, standard output ("-"), or nowhere (empty).
class JsonLines {
 public:
  // Throws ScenarioError for a file that cannot be written.
  explicit JsonLines(const std::string& target);

  bool is_on_standard_output() const { return target_ == "-"; }
  void write(const JsonValue& value);

  // Throws ScenarioError if something could not be written.
  void finish();

 private:
  std::string target_;
  std::ofstream file_;
};

JsonValue outcome_json(const Outcome& outcome);
JsonValue summary_json(const Summary& summary);

}  // namespace moe::sim
