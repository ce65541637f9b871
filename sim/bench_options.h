// The options of moebius bench as values. bench_options.cc knows their words and their help; what
// the command does is bench_command.cc.

#pragma once

#include "sim/bench.h"

namespace moe::sim {

struct BenchCommand {
  BenchSettings settings;          // of the first
  std::vector<BenchShape> shapes;  // each with each of tokens; the first are settings'
  std::vector<Count> tokens;
  std::string peer;         // empty or torch
  bool operators = false;   // of one device alone, without ranks
  bool says_sizes = false;  // shapes or tokens were given
  std::string json;         // a file, "-" for standard output, empty for none
  std::string results;      // a file to add Markdown to, empty for none
  std::string words;        // as they were given

  // What is to be measured, in order.
  std::vector<BenchSettings> all() const;
};

// A rank that bench started as a process; not for people.
struct BenchRankPlace {
  StoreAddress store;
  std::string token;
  int rank = 0;
};

// Text of --help, for command_line.cc.
std::string bench_help();

// arguments after the command's word; nothing: --help was among them. Throws ScenarioError with
// what is valid.
std::optional<BenchCommand> bench_options(const std::vector<std::string>& arguments);

BenchRankPlace bench_rank_options(const std::vector<std::string>& arguments);

}  // namespace moe::sim
