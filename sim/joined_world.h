// One process of a job, which is one rank of every run line: it meets the others at rank 0's store,
// runs its part, and rank 0 gets everybody's report. joined_run.cc decides what is run.

#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/makers.h"
#include "sim/job_place.h"
#include "sim/rank_program.h"

namespace moe::sim {

// What a rank brings to the meeting: the run lines that it means to run, or why it cannot.
struct Arrival {
  std::vector<std::string> plan;
  std::string error;  // bad input; empty: none
};

class JoinedWorld {
 public:
  // Rank 0 serves the store; everybody connects within the deadline. Throws SystemError: the port
  // is taken, rank 0 does not come, another job is there, this rank is there already; or stopped.
  JoinedWorld(const JobPlace& place, std::chrono::milliseconds deadline,
              const std::atomic<bool>& stop);
  ~JoinedWorld();
  JoinedWorld(const JoinedWorld&) = delete;
  JoinedWorld& operator=(const JoinedWorld&) = delete;

  // Every rank comes with its arrival, once. Throws SystemError for ranks that do not come, and
  // ScenarioError where a rank has an error or another plan than rank 0.
  void meet(const Arrival& arrival);

  // Runs this rank's part of the next line. RETURNS every rank's report on rank 0, elsewhere this
  // rank's own. Throws SystemError where the job has ended, which ended_with() then tells.
  std::vector<RankReport> run(const RankJob& job, const CommunicatorMaker& maker);

  // Why no further line can be run; empty: nothing is known against it.
  std::string broken() const;

  // Rank 0: tells all ranks to leave with the code and why, and waits a moment for them to hear it.
  void end(int code, const std::string& why);

  // Other ranks: waits for that code.
  int wait_for_end();

  // The code that rank 0 told, once it was heard.
  std::optional<int> ended_with() const;

 private:
  class Member;
  std::unique_ptr<Member> member_;
};

}  // namespace moe::sim
