// The ranks of a bench: threads of this process, or processes of this machine that meet in its
// store. A rank is pinned before it joins, so that its wire's own thread shares the core.

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <random>
#include <thread>

#include "comm/makers.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/bench.h"
#include "sim/json_reading.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds store_deadline(60000);
constexpr milliseconds failed_wait(3000);
constexpr const char* job_key = "bench";
constexpr int exit_of_lost_peer = 3;  // formats.md, section 6

// The rank-th of the cores that this process may use, modulo their number.
void pin(Pinning pinning, int rank) {
  if (pinning == Pinning::none) return;
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  int skip = rank % CPU_COUNT(&allowed);
  int core = 0;
  while (!CPU_ISSET(core, &allowed) || skip-- > 0) ++core;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) {
    throw SystemError(
        text("rank ", rank, " cannot be pinned to core ", core, ": ", std::strerror(errno)));
  }
}

// Joins, runs, and turns whatever was thrown into words.
BenchReport joined_and_run(const BenchSettings& settings, const Meeting& meeting, int rank) {
  try {
    pin(settings.pinning, rank);
    const auto& maker = row_named("communicator", communicator_makers(), settings.communicator);
    const std::unique_ptr<Memory> memory =
        device_maker(settings.device).make_memory(maker.one_device_each ? rank : 0, Poison::off);
    BenchWires wires{maker.make(meeting, rank, *memory)};
    if (maker.make_bare != nullptr) {
      wires.bare = maker.make_bare(*wires.wire);
      wires.end_process = meeting.end_process;
      wires.lost = [store = meeting.store] { return store->lost_members(); };
    }
    if (wires.bare != nullptr && maker.make_symmetric != nullptr) {
      wires.window = [&maker, bare = wires.bare.get()](Count bytes) {
        return maker.make_symmetric(*bare, bytes);
      };
    }
    BenchReport report = run_bench_rank(settings, std::move(wires));
    if (maker.version != nullptr) report.made_on += text(", ", maker.version());
    return report;
  } catch (const std::exception& error) {
    BenchReport report;
    report.rank = rank;
    report.failure = error.what();
    return report;
  }
}

std::vector<BenchReport> run_threads(const BenchSettings& settings) {
  const milliseconds deadline(settings.deadline_ms);
  LocalGroup group(settings.world_size, deadline);
  StoreServer server({}, "bench");
  const bool needs_store =
      row_named("communicator", communicator_makers(), settings.communicator).needs_store;
  std::vector<BenchReport> reports(static_cast<std::size_t>(settings.world_size));
  const auto rank_thread = [&](int rank) {
    StoreClient client(server.address(), "bench", rank, store_deadline);
    Meeting meeting{settings.world_size, deadline, needs_store ? nullptr : &group,
                    needs_store ? &client : nullptr};
    meeting.share_process = true;
    meeting.end_process = [rank](const std::string& words) {
      std::cerr << text("moebius: bench, rank ", rank, ": ", words, "\n");
      std::_Exit(exit_of_lost_peer);
    };
    BenchReport report = joined_and_run(settings, meeting, rank);
    if (!report.failure.empty()) group.abort(text("rank ", rank, ": ", report.failure));
    client.goodbye();
    reports[static_cast<std::size_t>(rank)] = std::move(report);
  };
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < settings.world_size; ++rank) threads.emplace_back(rank_thread, rank);
  threads.clear();  // joins
  return reports;
}

// Started processes; what has not ended by itself is gone after the destructor.
class RankProcesses {
 public:
  RankProcesses(const std::string& program, const StoreServer& server, const std::string& token,
                int world_size) {
    const StoreAddress at = server.address();
    for (int rank = 0; rank < world_size; ++rank) {
      start({program, "bench-rank", text(at.host, ":", at.port), token, text(rank + 1)});
    }
  }

  ~RankProcesses() {
    for (const pid_t process : running_) {
      if (process == 0) continue;
      kill(process, SIGKILL);
      waitpid(process, nullptr, 0);
    }
  }
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  bool has_ended(int rank) {
    pid_t& process = running_[static_cast<std::size_t>(rank)];
    if (process != 0 && waitpid(process, nullptr, WNOHANG) == process) process = 0;
    return process == 0;
  }

 private:
  void start(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_t process = 0;
    const int error =
        posix_spawn(&process, arguments[0], nullptr, nullptr, arguments.data(), environ);
    if (error != 0) throw SystemError(text("cannot start ", words[0], ": ", std::strerror(error)));
    running_.push_back(process);
  }

  std::vector<pid_t> running_;  // 0: has ended
};

// What a rank has reported, which it does before it ends; nothing yet.
std::optional<BenchReport> report_of(int rank, StoreServer& server, RankProcesses& processes) {
  const bool has_ended = processes.has_ended(rank);
  if (const auto words = server.get(bench_report_key(rank), milliseconds(0))) {
    return bench_report_from(parse_json(*words, "the report of a rank"));
  }
  if (!has_ended) return std::nullopt;
  BenchReport lost;
  lost.rank = rank;
  lost.failure = text("rank ", rank, " ended without a report");
  return lost;
}

// One report a rank. After the first that failed the others have a moment to say what they saw,
// after the first that is done the deadline more.
std::vector<BenchReport> reports_of(const BenchSettings& settings, StoreServer& server,
                                    RankProcesses& processes, const std::atomic<bool>& stop) {
  const int world_size = settings.world_size;
  std::vector<BenchReport> reports;
  std::vector<bool> has_reported(static_cast<std::size_t>(world_size), false);
  auto end = std::chrono::steady_clock::time_point::max();
  while (std::ssize(reports) < world_size && std::chrono::steady_clock::now() < end) {
    if (stop.load()) throw SystemError("interrupted");
    for (int rank = 0; rank < world_size; ++rank) {
      if (has_reported[static_cast<std::size_t>(rank)]) continue;
      auto report = report_of(rank, server, processes);
      if (!report) continue;
      const auto now = std::chrono::steady_clock::now();
      const milliseconds more(report->failure.empty() ? settings.deadline_ms : 0);
      end = std::min(end, now + failed_wait + more);
      reports.push_back(std::move(*report));
      has_reported[static_cast<std::size_t>(rank)] = true;
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  for (int rank = 0; rank < world_size; ++rank) {
    if (has_reported[static_cast<std::size_t>(rank)]) continue;
    BenchReport& silent = reports.emplace_back();
    silent.rank = rank;
    silent.failure = text("rank ", rank, " said nothing any more, and was killed");
  }
  return reports;
}

std::vector<BenchReport> run_processes(const BenchSettings& settings, const std::string& program,
                                       const std::atomic<bool>& stop) {
  std::random_device device;
  const std::string token = text(hex16(device()), hex16(device()));
  StoreServer server({}, token);
  server.set(job_key, json_text(to_json(settings)));
  RankProcesses processes(program, server, token, settings.world_size);
  return reports_of(settings, server, processes, stop);
}

// Each rank holds its weights three times: the layer's, the limit's, the checked layer's. A device
// says itself what is too much.
void check_memory(const BenchSettings& settings) {
  if (settings.device != DeviceKind::cpu) return;
  const BenchShape& shape = settings.shape;
  const Count element = settings.dtype == DType::bf16 ? 2 : 4;
  const Count needed =
      9 * shape.hidden_size * shape.intermediate_size * element * shape.num_experts;
  const Count there = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  if (needed < there / 10 * 8) return;
  throw ScenarioError(text(
      "--shape ", shape.name, " needs ", needed >> 30, " GiB for weights, ",
      "three times each, and this machine has ", there >> 30,
      " GiB; take fewer experts, as in --shape ", shape.hidden_size, "x", shape.intermediate_size,
      "x", std::max<Count>(settings.world_size, shape.num_experts * (there / 10 * 5) / needed), "x",
      shape.top_k));
}

}  // namespace

std::vector<BenchReport> run_bench_world(const BenchSettings& settings, const std::string& program,
                                         const std::atomic<bool>& stop) {
  check_memory(settings);
  std::vector<BenchReport> reports = settings.ranks == RanksAre::threads
                                         ? run_threads(settings)
                                         : run_processes(settings, program, stop);
  std::string failures;
  for (const BenchReport& report : reports) {
    if (report.failure.empty()) continue;
    failures +=
        text(failures.empty() ? "bench, rank " : "; rank ", report.rank, ": ", report.failure);
  }
  if (!failures.empty()) throw SystemError(failures);
  return reports;
}

std::string bench_report_key(int rank) { return text("bench report/", rank); }

int bench_rank_process(const StoreAddress& address, const std::string& token, int rank) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  StoreClient store(address, token, rank, store_deadline);
  const auto words = store.get(job_key, store_deadline);
  if (!words) throw SystemError("the store has no bench for this rank");
  const BenchSettings settings = bench_settings_from(parse_json(*words, "the bench"));
  const auto say = [&](const BenchReport& report) {
    store.set(bench_report_key(rank), json_text(to_json(report)));
  };
  Meeting meeting{settings.world_size, milliseconds(settings.deadline_ms), nullptr, &store};
  meeting.end_process = [&](const std::string& words) {
    BenchReport last;
    last.rank = rank;
    last.failure = words;
    say(last);
    std::_Exit(exit_of_lost_peer);
  };
  say(joined_and_run(settings, meeting, rank));
  store.goodbye();
  return 0;
}

}  // namespace moe::sim
