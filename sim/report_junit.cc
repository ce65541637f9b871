// Outcomes for build servers: JUnit's XML, one testsuite a scenario and one testcase a run line.
// What XML cannot hold is written as \xNN, so that the file is valid whatever a message says.

#include <algorithm>
#include <iostream>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/report.h"
#include "sim/text_layout.h"
#include "sim/utf8.h"

namespace moe::sim {
namespace {

constexpr std::chrono::seconds between_writes(1);

// The two noncharacters of three bytes that XML forbids though UTF-8 has them.
bool is_noncharacter(std::string_view words) {
  return words.starts_with("\xEF\xBF\xBE") || words.starts_with("\xEF\xBF\xBF");
}

// A character that has a meaning of its own in XML, or would be lost in an attribute.
std::string_view entity(char character) {
  switch (character) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\n':
      return "&#10;";
    case '\r':
      return "&#13;";
    case '\t':
      return "&#9;";
    default:
      return {};
  }
}

std::string attribute(std::string_view name, std::string_view words) {
  return text(" ", name, "=\"", xml_text(words), "\"");
}

std::string seconds(std::chrono::nanoseconds time) {
  const auto thousandths = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  const std::string digits = text(1000 + thousandths % 1000).substr(1);
  return text(thousandths / 1000, ".", digits);
}

// "allgather_reducescatter cpu gloo 4 processes", with what is not the default.
std::string line_name(const Outcome& outcome) {
  const RunLine& line = outcome.line;
  const RunLine usual;
  std::string name = text(line.backend, " ", name_of(line.device), " ", line.communicator, " ",
                          outcome.world.num_ranks(), " ",
                          line.ranks == RanksAre::threads ? "threads" : "processes");
  if (line.selection != usual.selection) name += text(" ", name_of(line.selection));
  if (line.dispatch_site != usual.dispatch_site) {
    name += text(" ", name_of(line.dispatch_site), " dispatches");
  }
  if (outcome.values == Values::real) name += " real values";
  if (line.profile != usual.profile) name += text(" ", line.profile);
  if (line.platform != usual.platform) name += text(" ", line.platform);
  return name;
}

// A scenario's name as the build servers group it: its folders are packages.
std::string class_name(std::string scenario) {
  std::ranges::replace(scenario, '/', '.');
  return scenario;
}

std::string told(std::string_view element, std::string_view type, const Outcome& outcome) {
  std::vector<std::string> lines = outcome.details;
  lines.push_back(text("reproduce: moebius ", shell_text(outcome.reproduce)));
  return text("      <", element, attribute("message", reason_of(outcome.verdict)),
              attribute("type", type), ">", xml_text(joined(lines, "\n")), "</", element, ">\n");
}

// What profile and platform warned of.
std::string warned(const Outcome& outcome) {
  if (outcome.warnings.empty()) return "";
  return text("      <system-out>warning: ", xml_text(joined(outcome.warnings, "\nwarning: ")),
              "</system-out>\n");
}

// What stands inside a testcase; nothing for one that passed.
std::string inside(const Outcome& outcome) {
  return std::visit(
      Cases{[](const Passed&) { return std::string(); },
            [&](const Failed&) { return told("failure", name_of(outcome.judge), outcome); },
            [](const Skipped& skipped) {
              return text("      <skipped", attribute("message", skipped.reason), "/>\n");
            },
            [&](const Errored& errored) {
              return told("error", text("exit code ", errored.exit_code), outcome);
            }},
      outcome.verdict);
}

std::string counts(const Summary& summary, std::chrono::nanoseconds time) {
  return text(
      attribute("tests", text(summary.passed + summary.failed + summary.skipped + summary.errors)),
      attribute("failures", text(summary.failed)), attribute("errors", text(summary.errors)),
      attribute("skipped", text(summary.skipped)), attribute("time", seconds(time)));
}

}  // namespace

std::string xml_text(std::string_view words) {
  std::string out;
  std::size_t at = 0;
  std::size_t broken = first_not_text(words).value_or(words.size());
  while (at < words.size()) {
    if (at == broken || is_noncharacter(words.substr(at))) {
      const std::size_t bytes = at == broken ? 1 : 3;
      for (const char byte : words.substr(at, bytes)) {
        out += text("\\x", hex2(static_cast<std::uint8_t>(byte)));
      }
      at += bytes;
      broken = at + first_not_text(words.substr(at)).value_or(words.size() - at);
      continue;
    }
    const std::string_view named = entity(words[at]);
    out += named.empty() ? words.substr(at, 1) : named;
    ++at;
  }
  return out;
}

JunitReport::JunitReport(const std::string& file) : file_(file) {
  if (!file_.empty()) write();
}

void JunitReport::add(const Outcome& outcome) {
  if (file_.empty()) return;
  if (suites_.empty() || suites_.back().scenario != outcome.scenario) {
    suites_.push_back({outcome.scenario, {}, {}, {}, {}});
  }
  Suite& suite = suites_.back();
  std::string name = line_name(outcome);
  const int times = ++suite.names[name];
  if (times > 1) name += text(" (", times, ")");
  suite.summary.add(outcome.verdict);
  suite.time += outcome.elapsed;
  suite.cases += text("    <testcase", attribute("name", name),
                      attribute("classname", class_name(outcome.scenario)),
                      attribute("time", seconds(outcome.elapsed)), ">\n", inside(outcome),
                      warned(outcome), "    </testcase>\n");
  // Whoever looks while a long run goes on, or after its end by force, finds a whole file.
  if (std::chrono::steady_clock::now() - written_ > between_writes) write();
}

void JunitReport::finish() {
  if (is_on_standard_output()) std::cout << whole() << std::flush;
  if (!file_.empty()) write();
}

std::string JunitReport::whole() const {
  Summary all;
  std::chrono::nanoseconds time{0};
  std::string suites;
  for (const Suite& suite : suites_) {
    all.passed += suite.summary.passed;
    all.failed += suite.summary.failed;
    all.skipped += suite.summary.skipped;
    all.errors += suite.summary.errors;
    time += suite.time;
    suites += text("  <testsuite", attribute("name", suite.scenario),
                   counts(suite.summary, suite.time), ">\n", suite.cases, "  </testsuite>\n");
  }
  return text("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"moebius\"",
              counts(all, time), ">\n", suites, "</testsuites>\n");
}

void JunitReport::write() {
  if (is_on_standard_output()) return;  // it takes the report once
  std::ofstream stream(file_, std::ios::binary | std::ios::trunc);
  stream << whole();
  stream.close();
  if (!stream) throw ScenarioError(text("--junit: cannot write ", file_));
  written_ = std::chrono::steady_clock::now();
}

}  // namespace moe::sim
