// The command line as values. command_line.cc, run_options.cc and bench_options.cc know the words
// of every option, given_options.cc parses them; what a command does is in its own file.

#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "comm/store.h"
#include "sim/bench_options.h"
#include "sim/log.h"
#include "sim/oracle_options.h"
#include "sim/rank_worlds.h"
#include "sim/scenario.h"

namespace moe::sim {

enum class Color { automatic, always, never };

struct ReportOptions {
  std::string json;   // a file, "-" for standard output, empty for none
  std::string junit;  // the same
  bool quiet = false;
  LogLevel log_level = LogLevel::warning;
  Color color = Color::automatic;
};

struct RunCommand {
  std::vector<std::string> paths;
  std::vector<std::string> tags;  // of scenarios to keep
  std::string trace;
  RunOverrides overrides;
  std::optional<Values> values;
  std::optional<DType> dtype;
  std::optional<std::uint64_t> seed;
  std::optional<int> deadline_ms;
  std::optional<int> delay_max_ms;
  std::vector<std::string> required;
  std::vector<FaultSpec> faults;
  std::optional<int> line;  // only this run line of each scenario, counted from 0
  int repeat = 1;
  int threads = 1;              // lines at a time
  std::optional<Count> worlds;  // this many small worlds in the place of paths
  Count first_world = 0;
  std::string store;   // --store HOST:PORT; empty: as the environment says
  bool alone = false;  // takes no place from the environment
  ReportOptions report;
};

// What is not said is chosen so that something shows.
struct ExplainCommand {
  std::string path;
  std::optional<int> step;
  std::optional<int> layer;
  std::optional<int> rank;
  std::optional<Count> token;
  std::optional<int> run;  // the run line whose backend is explained
};

struct ListCommand {
  std::string what;
  std::string profile;  // of backends: what each name stands for; empty: those that are built
  ReportOptions report;
  bool as_markdown = false;  // of backends: the table of backends/README.md
};

struct VerifyCommand {
  std::vector<std::string> files;  // or names of captures
  ReportOptions report;
};

struct OracleCommand {
  OracleQuery query;
  ReportOptions report;
};

// Text to print: help or version.
struct PrintCommand {
  std::string words;
};

// rank, bench-rank: a process that another moebius started; not for people.
using Command = std::variant<RunCommand, ExplainCommand, ListCommand, VerifyCommand, OracleCommand,
                             BenchCommand, PrintCommand, RankPlace, BenchRankPlace>;

// arguments without the program's name. Throws ScenarioError with what is valid.
Command parsed_command_line(const std::vector<std::string>& arguments);

}  // namespace moe::sim
