// The commands' words, and the options of the small ones: one table per command, which is also its
// help. Every word that names something is checked here, with the valid ones in the message.

#include "sim/command_line.h"

#include <filesystem>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/command_options.h"
#include "sim/scenario_keys.h"
#include "sim/version.h"

namespace moe::sim {
namespace {

using Words = std::vector<std::string>;

constexpr const char* overview =
    "moebius: runs, checks and explains the expert-parallel distribution layer of MoE inference.\n"
    "\n"
    "usage: moebius COMMAND [options] [paths]\n"
    "\n"
    "commands:\n"
    "  run [PATH…]   run scenarios, judge their outputs, print verdicts\n"
    "  explain PATH  one token's way and one step's traffic, with real numbers, for students\n"
    "  list WHAT     what exists and what this build lacks: backends, communicators, devices,\n"
    "                profiles, checks, faults, scenarios, experts\n"
    "  verify FILE…  judge captures of what other implementations did\n"
    "  oracle        which experts backend vLLM takes for a deployment, and why no other\n"
    "  bench         measure dispatch, experts, combine and the layer, beside their limits\n"
    "\n"
    "  moebius COMMAND --help    the options of a command\n"
    "  moebius --version         commit, compiler, libraries\n"
    "\n"
    "exit: 0 all passed, 1 something differed or a fault was caught or survived, 2 bad input,\n"
    "      3 a peer, a wire or a deadline failed, 4 our own contract broke, 130 interrupted\n";

constexpr const char* explain_usage =
    "usage: moebius explain PATH [options]\n\n"
    "Follows one token of a scenario through the layer, with real numbers: who holds it, which\n"
    "experts it chose, where its row goes, who multiplies and adds what, and how the sum comes\n"
    "home. With --step and no --token: what every rank sends in that step, and every expert's\n"
    "load. With neither: both, for the first step that has tokens.\n\noptions";

OptionTable explain_table() {
  return {
      {"step", OptionKind::number, "N", "the step, from 0"},
      {"layer", OptionKind::number, "N", "the layer, from 0 (the default)"},
      {"token", OptionKind::count, "N", "the token of its rank, from 0 (the default)"},
      {"rank", OptionKind::number, "N", "the DP rank that holds the token"},
      {"run", OptionKind::number, "N",
       "the run line whose backend is explained, from 0 (the default)"},
      {"help", OptionKind::flag, "", "print this"},
  };
}

constexpr const char* list_usage =
    "usage: moebius list WHAT [options]\n\n"
    "WHAT: backends, communicators, devices, profiles, checks, faults, scenarios, experts.\n\n"
    "options";

constexpr const char* verify_usage =
    "usage: moebius verify FILE… [options]\n\n"
    "Judges captures of what other implementations did (format moe-capture/1, one file per rank:\n"
    "NAME.rank<r>.safetensors). FILE is any of a capture's files or its NAME and means all of its\n"
    "ranks. Trusted are hidden_states, topk_ids, topk_weights and expert_output; the dispatched\n"
    "rows, their ids, weights, counts and order, and the combined rows must follow from them. "
    "Each\n"
    "finding says where, the value, the expected value, and the likely fault.\n\n"
    "exit: 0 all right, 1 findings, 2 a file is no capture\n\noptions";

OptionTable report_table() {
  OptionTable table;
  add_report_options(table);
  return table;
}

Command explain_command(const Words& arguments) {
  const GivenOptions given(arguments, explain_table());
  if (given.has("help")) return PrintCommand{options_help(explain_usage, explain_table())};
  const Words paths = given.free_words();
  if (paths.size() != 1) {
    throw ScenarioError("explain which scenario? moebius explain PATH (moebius list scenarios)");
  }
  return ExplainCommand{paths.front(),        given.number("step"), given.number("layer"),
                        given.number("rank"), given.count("token"), given.number("run")};
}

OptionTable list_table() {
  OptionTable table = {
      {"profile", OptionKind::word, "NAME", "of backends and experts: those of a profile"},
      {"markdown", OptionKind::flag, "", "of backends: the table of backends/README.md"}};
  add_report_options(table);
  return table;
}

Command list_command(const Words& arguments) {
  const GivenOptions given(arguments, list_table());
  if (given.has("help")) return PrintCommand{options_help(list_usage, list_table())};
  const Words valid = {"backends", "communicators", "devices",   "profiles",
                       "checks",   "faults",        "scenarios", "experts"};
  const Words what = given.free_words();
  if (what.size() != 1) throw ScenarioError(text("list what? One of: ", joined(valid)));
  const auto profile = given.word("profile").value_or("");
  return ListCommand{chosen("list", what.front(), valid), profile, report_options(given),
                     given.has("markdown")};
}

Command verify_command(const Words& arguments) {
  const GivenOptions given(arguments, report_table());
  if (given.has("help")) return PrintCommand{options_help(verify_usage, report_table())};
  if (given.free_words().empty()) {
    throw ScenarioError("verify which capture? moebius verify FILE… (NAME.rank<r>.safetensors)");
  }
  return VerifyCommand{given.free_words(), report_options(given)};
}

Command bench_command_line(const Words& arguments) {
  const std::optional<BenchCommand> bench = bench_options(arguments);
  if (!bench) return PrintCommand{bench_help()};
  return *bench;
}

Command rank_command(const Words& arguments) {
  const GivenOptions given(arguments, {{"store", OptionKind::word, "HOST:PORT", ""},
                                       {"token", OptionKind::word, "TOKEN", ""},
                                       {"rank", OptionKind::number, "N", ""}});
  for (const char* option : {"store", "token", "rank"}) {
    if (!given.has(option)) {
      throw ScenarioError(text("rank: --", option, " is missing; moebius starts ranks by itself"));
    }
  }
  return RankPlace{store_address(*given.word("store")), *given.word("token"),
                   *given.number("rank")};
}

}  // namespace

void add_report_options(OptionTable& table) {
  table.insert(
      table.end(),
      {{"json", OptionKind::word, "FILE|-",
        "write one JSON object per result; - or nothing is standard output"},
       {"quiet", OptionKind::flag, "", "print only what did not pass, and the summary"},
       {"color", OptionKind::word, "WHEN", "auto (default), always, never; NO_COLOR is honoured"},
       {"log", OptionKind::word, "LEVEL",
        "error, warning (default), info, debug: what is told on standard error"},
       {"help", OptionKind::flag, "", "print this"}});
}

void refuse_same_place(const FileOption& one, const FileOption& other) {
  if (one.file.empty() || other.file.empty()) return;
  namespace fs = std::filesystem;
  std::error_code error;
  const auto place_of = [&error](const std::string& file) {
    return fs::weakly_canonical(fs::absolute(file, error), error);
  };
  const bool is_same = one.file == other.file || place_of(one.file) == place_of(other.file);
  if (!is_same || fs::is_character_file(one.file, error)) return;
  throw ScenarioError(text(one.option, " ", one.file, " and ", other.option, " ", other.file,
                           ": both in one place; one of them goes elsewhere"));
}

ReportOptions report_options(const GivenOptions& given) {
  ReportOptions report;
  report.json = given.word("json").value_or("");
  report.quiet = given.has("quiet");
  if (const auto place = given.place("color", {"auto", "always", "never"})) {
    report.color = static_cast<Color>(*place);
  }
  if (const auto place = given.place("log", {"error", "warning", "info", "debug"})) {
    report.log_level = static_cast<LogLevel>(*place);
  }
  return report;
}

Command parsed_command_line(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" ||
      arguments[0] == "help") {
    return PrintCommand{overview};
  }
  if (arguments[0] == "--version") return PrintCommand{version_text()};
  const Words rest(arguments.begin() + 1, arguments.end());
  if (arguments[0] == "run") return run_options(rest);
  if (arguments[0] == "explain") return explain_command(rest);
  if (arguments[0] == "list") return list_command(rest);
  if (arguments[0] == "verify") return verify_command(rest);
  if (arguments[0] == "oracle") return oracle_options(rest);
  if (arguments[0] == "rank") return rank_command(rest);
  if (arguments[0] == "bench") return bench_command_line(rest);
  if (arguments[0] == "bench-rank") return bench_rank_options(rest);
  const std::string near =
      nearest(arguments[0], {"run", "explain", "list", "verify", "oracle", "bench"});
  throw ScenarioError(
      text("unknown command '", arguments[0], "'",
           near.empty() ? "" : text("; did you mean ", near, "?"),
           "; commands: run, explain, list, verify, oracle, bench (moebius --help)"));
}

}  // namespace moe::sim
