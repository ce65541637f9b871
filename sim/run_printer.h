// Where a run's results go: text for people, JSON for programs, XML for build servers, each as it
// comes and in order. Called by the commands that run lines.

#pragma once

#include "sim/commands.h"
#include "sim/progress.h"
#include "sim/report.h"

namespace moe::sim {

// Whether standard output gets colors.
Ansi ansi_of(Color color, const Surroundings& surroundings);

// Which outcomes people see; programs get all of them.
enum class ShownOutcomes { all, not_passed };

class RunPrinter {
 public:
  // Throws ScenarioError for a file that cannot be written.
  RunPrinter(const ReportOptions& options, const Surroundings& surroundings,
             ProgressDisplay& progress);

  void add(const Outcome& outcome, ShownOutcomes shown);

  // Prints the summary, with a sentence before it where there is one. RETURNS the exit code.
  int finish(const std::string& sentence);

  Count count() const { return count_; }

 private:
  void print(const std::string& words);

  ReportOptions options_;
  const Surroundings& surroundings_;
  ProgressDisplay& progress_;
  Ansi ansi_;
  JsonLines json_;
  JunitReport junit_;
  Summary summary_;
  Count count_ = 0;
  int exit_code_ = 0;
};

// Standard error where progress may be shown on it, else null.
std::ostream* progress_stream(const ReportOptions& options, const Surroundings& surroundings);

}  // namespace moe::sim
