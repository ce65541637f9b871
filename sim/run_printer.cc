// The printer of a run. It takes the progress line away before it writes, since both may be on one
// terminal.

#include "sim/run_printer.h"

#include <iostream>

#include "kernels/base/text.h"

namespace moe::sim {

Ansi ansi_of(Color color, const Surroundings& surroundings) {
  const bool automatic = surroundings.is_terminal && !surroundings.no_color;
  const bool colored = color == Color::always || (color == Color::automatic && automatic);
  return colored ? Ansi::colored : Ansi::plain;
}

RunPrinter::RunPrinter(const ReportOptions& options, const Surroundings& surroundings,
                       ProgressDisplay& progress)
    : options_(options),
      surroundings_(surroundings),
      progress_(progress),
      ansi_(ansi_of(options.color, surroundings)),
      json_(options.json),
      junit_(options.junit) {}

void RunPrinter::add(const Outcome& outcome, ShownOutcomes shown) {
  ++count_;
  summary_.add(outcome.verdict);
  exit_code_ = std::max(exit_code_, exit_code_of(outcome.verdict));
  junit_.add(outcome);
  progress_.hidden_while([&] { json_.write(outcome_json(outcome)); });
  const bool passed = std::holds_alternative<Passed>(outcome.verdict);
  if (passed && (options_.quiet || shown == ShownOutcomes::not_passed)) return;
  print(outcome_text(outcome, ansi_));
}

int RunPrinter::finish(const std::string& sentence) {
  progress_.hidden_while([&] { json_.write(summary_json(summary_)); });
  if (!sentence.empty()) print(sentence);
  print(summary_text(summary_));
  json_.finish();
  junit_.finish();
  if (!std::cout.flush()) exit_code_ = std::max(exit_code_, 2);  // for other ranks; main says it
  return surroundings_.stop.load() ? 130 : exit_code_;
}

void RunPrinter::print(const std::string& words) {
  if (json_.is_on_standard_output() || junit_.is_on_standard_output()) return;
  progress_.hidden_while([&] { std::cout << words << std::endl; });
}

std::ostream* progress_stream(const ReportOptions& options, const Surroundings& surroundings) {
  return surroundings.is_error_terminal && !options.quiet ? &std::cerr : nullptr;
}

}  // namespace moe::sim
