// The place of this process in a job that another program started: its rank, the job's size and
// where the ranks meet, from the words of torchrun, Open MPI or Slurm. A pure function of an
// environment that main.cc reads; joins nobody.

#pragma once

#include <map>
#include <optional>
#include <string>

#include "comm/store.h"

namespace moe::sim {

using Environment = std::map<std::string, std::string>;

struct JobPlace {
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // among the ranks of its machine
  StoreAddress store;  // where rank 0 serves
  std::string token;   // the same on every rank of the job, another in another job
  std::string words;   // "RANK=1, WORLD_SIZE=4", for messages
};

// RETURNS nothing where no variable says a place, and for a job of one rank: it has nobody to meet.
// store: --store, in the variables' place. Throws ScenarioError for a place that is half said or
// cannot be, with the variable and its value.
std::optional<JobPlace> job_place(const Environment& environment,
                                  const std::optional<StoreAddress>& store);

// For --help: what a job is and how its lines run.
inline constexpr const char* job_help =
    "Started by torchrun, mpirun or srun, a process is one rank: it takes its place from RANK,\n"
    "WORLD_SIZE, LOCAL_RANK, MASTER_ADDR (or OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK; or\n"
    "SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_LAUNCH_NODE_IPADDR). Ranks meet at --store,\n"
    "else at MASTER_ADDR and the port after MASTER_PORT (29500). Every line on Gloo, threads or\n"
    "processes, runs once over the job's ranks; lines on local and scenarios with another number\n"
    "of ranks are skipped. Rank 0 prints, all exit alike. A job of one rank runs as usual.\n\n";

}  // namespace moe::sim
