// Ranks as processes of this machine: the parent's side. It starts them with the address of its
// store and a board to share, waits for their reports and their ends, and leaves no process behind.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <thread>

#include "comm/board.h"
#include "kernels/base/text.h"
#include "sim/json_reading.h"
#include "sim/process_job.h"
#include "sim/rank_worlds.h"

namespace moe::sim {
namespace {

using Clock = std::chrono::steady_clock;

// For all after one has broken the board, which it does before it ends what it waits in.
constexpr std::chrono::milliseconds broken_wait{5000};
// For the others after a rank is done, beyond the deadline: it has met them in its last operation.
constexpr std::chrono::milliseconds report_wait{5000};

std::string random_token() {
  std::random_device device;
  return text(hex16(device()), hex16(device()));
}

// A started program keeps the descriptors that are not closed on the way: the board's is not.
class KeptDescriptor {
 public:
  explicit KeptDescriptor(int descriptor) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_adddup2(&actions_, descriptor, descriptor);
  }
  ~KeptDescriptor() { posix_spawn_file_actions_destroy(&actions_); }
  KeptDescriptor(const KeptDescriptor&) = delete;
  KeptDescriptor& operator=(const KeptDescriptor&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

pid_t start(const std::string& program, const RankPlace& place, const Board& board) {
  std::vector<std::string> words = {
      program,   "rank",      "--store", text(place.store.host, ":", place.store.port),
      "--token", place.token, "--rank",  text(place.rank)};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = 0;
  const KeptDescriptor kept(board.descriptor());
  const int error =
      posix_spawn(&process, program.c_str(), kept.actions(), nullptr, arguments.data(), environ);
  if (error != 0) {
    throw SystemError(
        text("cannot start rank ", place.rank, " (", program, "): ", std::strerror(error)));
  }
  return process;
}

// How a process ended, as words; empty while it runs.
std::string end_of(pid_t process) {
  int status = 0;
  if (waitpid(process, &status, WNOHANG) != process) return "";
  if (WIFSIGNALED(status)) {
    return text("was killed by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  }
  return text("ended with exit code ", WEXITSTATUS(status));
}

std::string words_of(int rank, pid_t process, const std::string& end) {
  return text("rank ", rank, " (process ", process, ") ", end);
}

// The processes of one run: started in the constructor, gone after the destructor.
class Ranks {
 public:
  Ranks(const ProcessSettings& settings, StoreServer& server, Board& board,
        const std::string& token)
      : settings_(settings), server_(server), board_(board) {
    for (int rank = 0; rank < settings.size; ++rank) {
      const RankPlace place{server.address(), token, rank};
      members_.push_back({start(settings.program, place, board), {}, false});
    }
  }

  ~Ranks() {
    for (const Member& member : members_) {
      if (member.ended) continue;
      kill(member.process, SIGKILL);
      waitpid(member.process, nullptr, 0);
    }
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  std::vector<RankReport> collect() {
    while (!all_settled()) {
      for (std::size_t rank = 0; rank < members_.size(); ++rank) look_at(static_cast<int>(rank));
      if (settings_.stop.load()) interrupt();
      if (broken_ == Clock::time_point::max() && board_.broken()) broken_ = Clock::now();
      if (const auto what = lateness()) kill_unsettled(*what);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    reap();
    std::vector<RankReport> reports;
    for (Member& member : members_) reports.push_back(std::move(*member.report));
    return reports;
  }

 private:
  struct Member {
    pid_t process;
    std::optional<RankReport> report;
    bool ended;
  };

  bool all_settled() const {
    for (const Member& member : members_) {
      if (!member.report) return false;
    }
    return true;
  }

  void look_at(int rank) {
    Member& member = members_[static_cast<std::size_t>(rank)];
    if (member.report) return;
    const std::string end = member.ended ? "" : end_of(member.process);
    member.ended = member.ended || !end.empty();
    // A process writes its report before it ends, so this order misses none.
    if (const auto report = server_.get(report_key(rank), std::chrono::milliseconds(0))) {
      settle(member, rank_report_from(parse_json(*report, "the report of a rank")));
    } else if (member.ended) {
      const std::string words = words_of(rank, member.process, end);
      board_.abort(words);  // the others hear of it at once
      settle(member, {.rank = rank, .failure = {FailureKind::system, words, 0}});
    }
  }

  void settle(Member& member, RankReport report) {
    const auto now = Clock::now();
    if (report.failure.kind != FailureKind::none) first_failure_ = std::min(first_failure_, now);
    first_report_ = std::min(first_report_, now);
    member.report = std::move(report);
  }

  // What those do who have not reported, although another failed or was done long ago.
  std::optional<std::string> lateness() const {
    const auto now = Clock::now();
    if (first_failure_ < now - settings_.ending) {
      return "did not stop after another rank had failed, and was killed";
    }
    if (broken_ < now - broken_wait) {
      return text("did not stop after the ranks had given up (", *board_.broken(),
                  "), and was killed");
    }
    const auto wait = settings_.deadline + report_wait;
    if (first_report_ > now - wait) return std::nullopt;
    return text("did not report within ", wait.count(),
                " ms after another rank had, and was killed");
  }

  void kill_unsettled(const std::string& what) {
    for (std::size_t rank = 0; rank < members_.size(); ++rank) {
      Member& member = members_[rank];
      if (member.report) continue;
      kill(member.process, SIGKILL);
      // Those that failed before come first in the words: they know more.
      const std::string words = words_of(static_cast<int>(rank), member.process, what);
      settle(member,
             {.rank = static_cast<int>(rank), .failure = failure_now(FailureKind::system, words)});
    }
  }

  void interrupt() {
    for (std::size_t rank = 0; rank < members_.size(); ++rank) {
      Member& member = members_[rank];
      if (member.report) continue;
      kill(member.process, SIGKILL);
      settle(member, {.rank = static_cast<int>(rank),
                      .failure = {FailureKind::interrupted, "interrupted", 0}});
    }
  }

  // Ranks that have reported end by themselves.
  void reap() {
    const auto until = Clock::now() + std::chrono::seconds(2);
    for (Member& member : members_) {
      while (!member.ended && Clock::now() < until) {
        member.ended = !end_of(member.process).empty();
        if (!member.ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }

  const ProcessSettings& settings_;
  StoreServer& server_;
  Board& board_;
  std::vector<Member> members_;
  Clock::time_point first_failure_ = Clock::time_point::max();  // none yet
  Clock::time_point first_report_ = Clock::time_point::max();
  Clock::time_point broken_ = Clock::time_point::max();  // the board, as seen here
};

}  // namespace

std::vector<RankReport> run_processes(const ProcessJob& job, const ProcessSettings& settings) {
  const std::string token = random_token();
  StoreServer server({}, token);
  Board board(BoardSettings{settings.size, settings.deadline});
  ProcessJob with_board = job;
  with_board.board = board.descriptor();
  server.set(job_key, json_text(to_json(with_board)));
  Ranks ranks(settings, server, board, token);
  return ranks.collect();
}

}  // namespace moe::sim
