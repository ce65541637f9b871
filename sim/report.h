// Reports: outcomes as text for people, as JSON for programs (formats.md, 7), as XML for
// build servers.
// The only files that know how a verdict looks; they print to streams that main gives them.

#pragma once

#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
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

// "PASS", "FAIL", "SKIP", "ERROR", padded to the longest.
std::string mark_text(const Verdict& verdict, Ansi ansi);
std::string outcome_text(const Outcome& outcome, Ansi ansi);
std::string summary_text(const Summary& summary);

// Where --json goes: a file, standard output ("-"), or nowhere (empty).
class JsonLines {
 public:
  // Throws ScenarioError for a file that cannot be written.
  explicit JsonLines(const std::string& target);

  bool is_on_standard_output() const { return target_ == "-"; }
  void write(const JsonValue& value);

  // Throws ScenarioError if the file could not be written; standard output is main's to ask.
  void finish();

 private:
  std::string target_;
  std::ofstream file_;
};

// Words as XML's text or attribute: entities, and \\xNN for what XML cannot hold.
std::string xml_text(std::string_view words);

// Where --junit goes: a file, standard output ("-"), or nowhere (empty). A file is whole at every
// moment: it is written anew now and then.
class JunitReport {
 public:
  // Throws ScenarioError for a file that cannot be written.
  explicit JunitReport(const std::string& file);

  bool is_on_standard_output() const { return file_ == "-"; }

  // ORDER: outcomes of a scenario follow each other.
  void add(const Outcome& outcome);
  void finish();

 private:
  struct Suite {
    std::string scenario;
    std::string cases;  // XML
    std::map<std::string, int> names;
    Summary summary;
    std::chrono::nanoseconds time{0};
  };

  void write();
  std::string whole() const;

  std::string file_;
  std::vector<Suite> suites_;
  std::chrono::steady_clock::time_point written_;
};

JsonValue outcome_json(const Outcome& outcome);
JsonValue summary_json(const Summary& summary);

}  // namespace moe::sim
