// What each command does, given its options as values.
// Called by main.cc only.

#pragma once

#include <atomic>
#include <string>

#include "sim/command_line.h"
#include "sim/job_place.h"
#include "sim/scenario_source.h"

namespace moe::sim {

// What main found out about its surroundings.
struct Surroundings {
  DataFolders folders;
  std::string program;             // this program's own file
  bool is_terminal = false;        // standard output
  bool is_error_terminal = false;  // standard error
  bool no_color = false;
  Environment environment;  // what says a place in a job
  const std::atomic<bool>& stop;
};

// RETURNS the exit code. Throws ScenarioError before anything has run.
int run_command(const RunCommand& command, const Surroundings& surroundings);
int run_worlds(const RunCommand& command, const Surroundings& surroundings);  // run --worlds
int run_joined(const RunCommand& command, const Surroundings& surroundings,
               const JobPlace& place);  // run as one rank of a job
int explain_command(const ExplainCommand& command, const Surroundings& surroundings);
int bench_command(const BenchCommand& bench, const Surroundings& surroundings);
int verify_command(const VerifyCommand& command, const Surroundings& surroundings);
int oracle_command(const OracleCommand& command);
int oracle_fault_command(const OracleCommand& command);  // oracle --fault
int list_command(const ListCommand& command, const Surroundings& surroundings);

}  // namespace moe::sim
