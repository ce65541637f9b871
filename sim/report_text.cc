// Outcomes for people: one line each, what was found below it, and how to see it again.
// Also the summary and the exit code of a whole run.

#include <algorithm>
#include <cmath>

#include "kernels/base/text.h"
#include "sim/report.h"
#include "sim/text_layout.h"

namespace moe::sim {
namespace {

std::string seconds(std::chrono::nanoseconds time) {
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(time).count() / 10;
  return text(tenths / 100, ".", tenths % 100 < 10 ? "0" : "", tenths % 100, " s");
}

constexpr std::size_t where_width = 22;

// Device, communicator and ranks, then what else a line asks for that is not usual.
std::string where(const Outcome& outcome) {
  const RunLine& line = outcome.line;
  const RunLine usual;
  const std::string_view ranks = line.ranks == RanksAre::threads ? "threads" : "processes";
  std::string words = text(name_of(line.device), " ", line.communicator, " ",
                           outcome.world.num_ranks(), " ", ranks);
  if (line.selection != usual.selection) words += text(", ", name_of(line.selection));
  if (line.dispatch_site != usual.dispatch_site) {
    words += text(", ", name_of(line.dispatch_site), " dispatches");
  }
  if (line.profile != usual.profile) words += text(", ", line.profile);
  if (line.platform != usual.platform) words += text(", ", line.platform, "'s rules");
  return words.size() > where_width ? words + ":" : words;
}

// The line's word, and what ran under it where that is another backend.
std::string backend_words(const Outcome& outcome) {
  const std::string& ran = outcome.resolved_backend;
  if (ran.empty() || ran == outcome.line.backend) return outcome.line.backend;
  return text(outcome.line.backend, " (as ", ran, ")");
}

// Real worlds: how much of a derived bound was used, at most.
std::string share_text(const Outcome& outcome) {
  if (!outcome.worst || outcome.worst->mismatch.bound <= 0) return "";
  const double percent = 100 * outcome.worst->mismatch.share();
  return text(", within ", static_cast<int>(std::ceil(percent)), " % of their bounds");
}

// What a device's rows cost beside the wire.
std::string staging_text(const Outcome& outcome) {
  const Count bytes = outcome.traffic.staged_bytes;
  return bytes == 0 ? "" : text(", ", bytes, " bytes staged");
}

// The whole time, and the judge's where it matters.
std::string time_text(const Outcome& outcome) {
  const bool matters = outcome.judging > std::chrono::milliseconds(200);
  return text(seconds(outcome.elapsed),
              matters ? text(" (judging ", seconds(outcome.judging), ")") : "");
}

// The line itself, what was found below it and how to see it again.
std::string verdict_text(const Outcome& outcome, Ansi ansi) {
  std::string line =
      text(mark_text(outcome.verdict, ansi), " ", padded(outcome.scenario, 32), " ",
           padded(backend_words(outcome), 24), " ", padded(where(outcome), where_width));
  const std::string reason = reason_of(outcome.verdict);
  if (reason.empty() && outcome.judge == Judge::expectation) {
    const std::string found = outcome.details.empty() ? "" : text("\n      ", outcome.details[0]);
    return text(line, " ", outcome.met, ", ", seconds(outcome.elapsed), found);
  }
  if (reason.empty()) {
    return text(line, " ", outcome.rows, " rows as the ", name_of(outcome.judge), " says",
                share_text(outcome), staging_text(outcome), ", ", time_text(outcome));
  }
  std::string all = text(line, "\n      ", reason);
  for (const std::string& detail : outcome.details) {
    if (reason.find(detail) == std::string::npos) all += text("\n      ", detail);
  }
  if (!std::holds_alternative<Skipped>(outcome.verdict)) {
    all += text("\n      reproduce: moebius ", shell_text(outcome.reproduce));
  }
  return all;
}

}  // namespace

std::string mark_text(const Verdict& verdict, Ansi ansi) {
  const auto [word, color] =
      std::visit(Cases{[](const Passed&) { return std::pair("PASS", "32"); },
                       [](const Failed&) { return std::pair("FAIL", "31"); },
                       [](const Skipped&) { return std::pair("SKIP", "33"); },
                       [](const Errored&) { return std::pair("ERROR", "31"); }},
                 verdict);
  const std::string plain = padded(word, 5);
  return ansi == Ansi::plain ? plain : text("\x1b[", color, "m", plain, "\x1b[0m");
}

void Summary::add(const Verdict& verdict) {
  std::visit(Cases{[this](const Passed&) { ++passed; }, [this](const Failed&) { ++failed; },
                   [this](const Skipped&) { ++skipped; }, [this](const Errored&) { ++errors; }},
             verdict);
}

int exit_code_of(const std::vector<Outcome>& outcomes) {
  int code = 0;
  for (const Outcome& outcome : outcomes) code = std::max(code, exit_code_of(outcome.verdict));
  return code;
}

std::string outcome_text(const Outcome& outcome, Ansi ansi) {
  std::string all = verdict_text(outcome, ansi);
  for (const std::string& warning : outcome.warnings) all += text("\n      warning: ", warning);
  return all;
}

std::string summary_text(const Summary& summary) {
  return text(summary.passed, " passed, ", summary.failed, " failed, ", summary.skipped,
              " skipped, ", summary.errors, " errors");
}

}  // namespace moe::sim
