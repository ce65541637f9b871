// One row of variables for each launcher. torchrun's words come first, since a job that they start
// may itself run inside Slurm or Open MPI, and Open MPI's before Slurm's for the same reason.

#include "sim/job_place.h"

#include <array>
#include <charconv>

#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

constexpr int world_size_max = 1 << 20;
constexpr int port_max = 65535;
constexpr int usual_master_port = 29500;  // torchrun's

struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* address;                    // beside MASTER_ADDR; null: none of its own
  std::array<const char*, 3> job_ids;     // parts of what names the job, those that are there
  bool is_half_said_by_others_than_rank;  // whether size alone means a place that is half said
};

constexpr std::array<Launcher, 3> launchers = {{
    {"torchrun",
     "RANK",
     "WORLD_SIZE",
     "LOCAL_RANK",
     nullptr,
     {"TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", nullptr},
     true},
    {"Open MPI",
     "OMPI_COMM_WORLD_RANK",
     "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK",
     nullptr,
     {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_ess_jobid"},
     true},
    // salloc sets SLURM_NTASKS for its shell, which is no task.
    {"Slurm",
     "SLURM_PROCID",
     "SLURM_NTASKS",
     "SLURM_LOCALID",
     "SLURM_LAUNCH_NODE_IPADDR",
     {"SLURM_JOB_ID", "SLURM_STEP_ID", nullptr},
     false},
}};

const std::string* found(const Environment& environment, const char* name) {
  const auto at = name == nullptr ? environment.end() : environment.find(name);
  return at == environment.end() ? nullptr : &at->second;
}

constexpr const char* way_out = "; --alone runs without the job";

struct Range {
  int least;
  int most;
};

int number_of(const Environment& environment, const char* name, Range range) {
  const std::string& words = environment.at(name);
  const char* end = words.data() + words.size();
  int value = 0;
  const auto [stop, error] = std::from_chars(words.data(), end, value);
  if (words.empty() || error != std::errc{} || stop != end || value < range.least ||
      value > range.most) {
    throw ScenarioError(text(name, "='", words, "' is not a whole number from ", range.least,
                             " to ", range.most, way_out));
  }
  return value;
}

// Throws where one of rank and size is there without the other, or a local rank without both.
bool says_place(const Environment& environment, const Launcher& launcher) {
  const bool has_rank = found(environment, launcher.rank) != nullptr;
  const bool has_size = found(environment, launcher.size) != nullptr;
  if (has_rank && has_size) return true;
  const char* lonely = has_rank ? launcher.rank : has_size ? launcher.size : launcher.local_rank;
  const bool counts = has_rank || launcher.is_half_said_by_others_than_rank;
  if (!counts || found(environment, lonely) == nullptr) return false;
  const std::string missing = has_rank   ? launcher.size
                              : has_size ? launcher.rank
                                         : text(launcher.rank, " and ", launcher.size);
  throw ScenarioError(text(lonely, "=", environment.at(lonely), " without ", missing,
                           ": a rank needs both (", launcher.name, " sets them)", way_out));
}

const Launcher* launcher_of(const Environment& environment) {
  for (const Launcher& launcher : launchers) {
    if (says_place(environment, launcher)) return &launcher;
  }
  return nullptr;
}

int meeting_port(const Environment& environment) {
  if (found(environment, "MASTER_PORT") == nullptr) return usual_master_port + 1;
  const int port = number_of(environment, "MASTER_PORT", {1, port_max});
  if (port < port_max) return port + 1;
  throw ScenarioError(text("MASTER_PORT=", port, ": there is no port after it to meet at; say ",
                           "--store HOST:PORT"));
}

StoreAddress meeting_point(const Environment& environment, const Launcher& launcher) {
  for (const char* name : {static_cast<const char*>("MASTER_ADDR"), launcher.address}) {
    const std::string* host = found(environment, name);
    if (host != nullptr && !host->empty()) return {*host, meeting_port(environment)};
  }
  const std::string own = launcher.address == nullptr ? "" : text(" or ", launcher.address);
  throw ScenarioError(text(launcher.rank, "=", environment.at(launcher.rank), " and ",
                           launcher.size, "=", environment.at(launcher.size),
                           " without MASTER_ADDR", own,
                           ": where do the ranks meet? Say --store HOST:PORT", way_out));
}

// Ranks of one job have these words in common, two jobs at a time at least one that differs.
std::string job_token(const Environment& environment, const Launcher& launcher, int size) {
  std::string token = text(launcher.name, "/", size);
  for (const char* name : launcher.job_ids) {
    const std::string* id = found(environment, name);
    if (id != nullptr) token += text("/", *id);
  }
  return token;
}

}  // namespace

std::optional<JobPlace> job_place(const Environment& environment,
                                  const std::optional<StoreAddress>& store) {
  if (store && store->port == 0) {
    throw ScenarioError("--store: port 0 is no port that ranks can meet at; say 1 to 65535");
  }
  const Launcher* launcher = launcher_of(environment);
  if (launcher == nullptr) {
    if (!store) return std::nullopt;
    throw ScenarioError(
        "--store is where the ranks of a job meet, and no variable says this process's rank: "
        "RANK and WORLD_SIZE, OMPI_COMM_WORLD_RANK and _SIZE, or SLURM_PROCID and SLURM_NTASKS");
  }
  JobPlace place;
  place.size = number_of(environment, launcher->size, {1, world_size_max});
  place.rank = number_of(environment, launcher->rank, {0, world_size_max});
  place.words = text(launcher->rank, "=", place.rank, ", ", launcher->size, "=", place.size);
  if (place.rank >= place.size) {
    throw ScenarioError(
        text(place.words, ": ranks of this job are 0 to ", place.size - 1, way_out));
  }
  if (found(environment, launcher->local_rank) != nullptr) {
    place.local_rank = number_of(environment, launcher->local_rank, {0, place.size - 1});
  }
  if (place.size == 1) return std::nullopt;
  place.store = store ? *store : meeting_point(environment, *launcher);
  place.token = job_token(environment, *launcher, place.size);
  return place;
}

}  // namespace moe::sim
