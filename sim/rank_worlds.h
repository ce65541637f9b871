// Worlds: the ranks of one run line, as threads of this process or as processes of this machine.
// Both run the same rank_program.h and return one report a rank, whatever happened to the ranks.

#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "comm/makers.h"
#include "sim/rank_program.h"
#include "sim/scenario_source.h"

namespace moe::sim {

// Threads: they meet in a local group, or through a store of their own on the loopback.
std::vector<RankReport> run_threads(const RankJob& job, const CommunicatorMaker& maker);

// What a rank that is a process needs to run on its own.
struct ProcessJob {
  ScenarioSource source;
  RunLine line;
  std::vector<FaultSpec> faults;
  int board = -1;  // the descriptor under which it finds its board
};

struct ProcessSettings {
  std::string program;  // of ranks: this program's own file
  int size = 1;
  std::chrono::milliseconds deadline{0};  // of every wait for another rank
  const std::atomic<bool>& stop;
  std::chrono::milliseconds ending{0};  // for the others after a rank has failed: its maker's
};

// Processes: this one serves the store, starts them, and collects their reports. A rank that dies
// is reported with its signal; ranks that do not stop soon after a failure are killed.
std::vector<RankReport> run_processes(const ProcessJob& job, const ProcessSettings& settings);

// Where a started process finds the store.
struct RankPlace {
  StoreAddress store;
  std::string token;
  int rank = 0;
};

// The program of a started process: joins, runs, reports. RETURNS its exit code.
int rank_process(const RankPlace& place, const std::atomic<bool>& stop);

}  // namespace moe::sim
