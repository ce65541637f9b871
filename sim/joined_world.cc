// What travels through the store: "here/R", a rank's arrival; "word/N", rank 0's words to all, one
// after the other; "report/N/R", how rank R ended line N; "left/R". Each key is written once.

#include "sim/joined_world.h"

#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include "comm/own_address.h"
#include "kernels/base/text.h"
#include "sim/json_reading.h"
#include "sim/rank_over_store.h"

namespace moe::sim {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds slice{50};            // between looks at the stop flag
constexpr milliseconds grace{1000};          // beyond the deadline, for a message to arrive
constexpr milliseconds stopped_wait{400};    // for reports after an interrupt
constexpr milliseconds failed_wait{800};     // for reports after this rank has failed
constexpr milliseconds answer_wait{1500};    // for rank 0's store, which has a thread of its own
constexpr milliseconds farewell_wait{1000};  // for ranks that have been told to leave

JsonValue to_json(const Arrival& arrival, const Reach& reach) {
  std::random_device device;
  JsonArray plan;
  for (const std::string& line : arrival.plan) plan.emplace_back(line);
  return JsonObject{{"process", text(hex16(device()), hex16(device()))},
                    {"own", reach.own},
                    {"store", reach.theirs},
                    {"error", arrival.error},
                    {"plan", std::move(plan)}};
}

// Empty where a rank's arrival agrees with rank 0's, else what does not.
std::string disagreement(int rank, const JsonValue& theirs, const Arrival& own) {
  if (!string_at(theirs, "error").empty()) {
    return text("rank ", rank, ": ", string_at(theirs, "error"));
  }
  const JsonArray& plan = array_at(theirs, "plan");
  for (std::size_t i = 0; i < std::max(plan.size(), own.plan.size()); ++i) {
    const std::string here = i < own.plan.size() ? own.plan[i] : "nothing";
    const std::string there = i < plan.size() ? *plan[i].string() : "nothing";
    if (here == there) continue;
    return text("ranks must run the same: line ", i, " is '", here, "' on rank 0 and '", there,
                "' on rank ", rank);
  }
  return "";
}

}  // namespace

class JoinedWorld::Member {
 public:
  Member(const JobPlace& place, milliseconds deadline, const std::atomic<bool>& stop)
      : place_(place), deadline_(deadline), stop_(stop) {
    if (is_first()) {
      serve();
    } else {
      reach_ = reach_of(place.store);
      connect(place.store);
    }
  }

  bool is_first() const { return place_.rank == 0; }

  void meet(const Arrival& arrival) {
    arrive(arrival);
    if (is_first()) {
      say(text("met ", address_for_others(arrival)));
    } else {
      const std::string word = hear(deadline_ + grace);
      if (is_loopback(reach_.own) && word.size() > 4) reach_.own = word.substr(4);
    }
  }

  std::vector<RankReport> run(const RankJob& job, const CommunicatorMaker& maker) {
    const milliseconds deadline(job.scenario.deadline_ms);
    if (is_first()) say("run");
    if (!is_first()) hear(last_deadline_ + deadline_ + grace);
    last_deadline_ = deadline;
    const Meeting meeting{.size = place_.size,
                          .deadline = deadline,
                          .store = &*client_,
                          .mesh = text("line/", line_),
                          .host = reach_.own,
                          .local_rank = place_.local_rank};
    RankReport report = run_rank_over_store(job, maker, meeting, place_.rank);
    const std::string prefix = text("report/", line_++, "/");
    if (!is_first()) {
      const std::string words = json_text(sim::to_json(report));
      const bool has_failed = report.failure.kind != FailureKind::none;
      try {
        of_rank_0([&] { client_->set(text(prefix, place_.rank), words); });
      } catch (const SystemError&) {
        // A failure of its own is told first; that rank 0 is gone is heard soon enough.
        if (!has_failed) throw;
      }
      return {std::move(report)};
    }
    return collected(std::move(report), prefix, deadline);
  }

  std::string broken() const {
    if (!broken_.empty() || !is_first()) return broken_;
    std::vector<int> lost = server_->lost_members();
    std::ranges::sort(lost);
    return lost.empty() ? "" : text("rank ", joined(lost, ", rank "), " is gone");
  }

  void end(int code, const std::string& why) {
    say(text("end ", code, " ", why));
    const Clock::time_point until = Clock::now() + farewell_wait;
    for (int rank = 1; rank < place_.size; ++rank) {
      while (Clock::now() < until && is_listening(rank)) {
        if (server_->get(text("left/", rank), milliseconds(5))) break;
      }
    }
  }

  int wait_for_end() {
    while (!ended_with_) hear_anything(last_deadline_ + deadline_ + grace);
    return *ended_with_;
  }

  std::optional<int> ended_with() const { return ended_with_; }

 private:
  void serve() {
    try {
      server_.emplace(listening_address(place_.store), place_.token);
    } catch (const SystemError& error) {
      throw SystemError(text("cannot open the meeting point ", place_.store.host, ":",
                             place_.store.port, ": ", error.what(),
                             "; another job's? --store HOST:PORT says another"));
    }
    const bool is_six = server_->address().host.find(':') != std::string::npos;
    const StoreAddress here{is_six ? "::1" : "127.0.0.1", place_.store.port};
    reach_ = {here.host, here.host};
    connect(is_loopback(place_.store.host) ? place_.store : here);
  }

  // In slices, so that an interrupt is heard.
  void connect(const StoreAddress& address) {
    const Clock::time_point end = Clock::now() + deadline_;
    while (!client_) {
      throw_if_stopped();
      try {
        client_.emplace(address, place_.token, place_.rank, std::min(deadline_, answer_wait),
                        4 * slice);
      } catch (const NobodyListens&) {
        if (Clock::now() < end) continue;
        throw SystemError(text("rank 0 opened no meeting point at ", address.host, ":",
                               address.port, " within ", deadline_.count(), " ms"));
      }
    }
  }

  void arrive(const Arrival& arrival) {
    try {
      client_->set(text("here/", place_.rank), json_text(to_json(arrival, reach_)));
    } catch (const ContractError&) {
      throw SystemError(text("another process at ", place_.store.host, ":", place_.store.port,
                             " says that it is rank ", place_.rank,
                             " of this job: two jobs on one port? --store HOST:PORT says another"));
    }
  }

  // Waits for all arrivals. RETURNS the address of this machine as others reach it; empty where
  // all are here.
  std::string address_for_others(const Arrival& own) {
    std::string address;
    std::vector<int> missing;
    std::string wrong = own.error;
    // With an error of its own this rank waits for nobody, but lets the others hear of it.
    const milliseconds wait = own.error.empty() ? deadline_ : std::min(deadline_, farewell_wait);
    const Clock::time_point until = Clock::now() + wait;
    for (int rank = 1; rank < place_.size; ++rank) {
      const auto words = awaited(text("here/", rank), rank, until);
      if (!words) {
        missing.push_back(rank);
        continue;
      }
      const JsonValue arrival = parse_json(*words, text("the arrival of rank ", rank));
      if (wrong.empty()) wrong = disagreement(rank, arrival, own);
      const std::string store = string_at(arrival, "store");
      if (address.empty() && !is_loopback(store)) address = store;
    }
    if (!wrong.empty()) throw ScenarioError(wrong);
    if (!missing.empty()) {
      throw SystemError(text("rank ", joined(missing, ", rank "), " did not come to ",
                             place_.store.host, ":", place_.store.port, " within ",
                             deadline_.count(), " ms (", place_.words, ")"));
    }
    if (!address.empty()) reach_.own = address;
    return address;
  }

  // A key that a rank writes; nothing when it is late or gone.
  std::optional<std::string> awaited(const std::string& key, int rank, Clock::time_point until) {
    while (true) {
      const bool is_over = Clock::now() >= until || is_lost(rank);
      auto words = server_->get(key, is_over ? milliseconds(0) : slice);
      if (words || is_over) return words;
      throw_if_stopped();
    }
  }

  bool is_listening(int rank) {
    return !is_lost(rank) && !silent_.contains(rank) &&
           server_->get(text("here/", rank), milliseconds(0));
  }

  bool is_lost(int rank) const { return std::ranges::count(server_->lost_members(), rank) > 0; }

  std::vector<RankReport> collected(RankReport own, const std::string& prefix,
                                    milliseconds deadline) {
    // Ranks that wait for this one learn of its failure at once.
    const bool has_failed = own.failure.kind != FailureKind::none;
    const Clock::time_point until = Clock::now() + (has_failed ? failed_wait : deadline + grace);
    std::vector<RankReport> reports = {std::move(own)};
    for (int rank = 1; rank < place_.size; ++rank) {
      const auto words = reported(text(prefix, rank), rank, until);
      if (words) {
        reports.push_back(rank_report_from(parse_json(*words, text("the report of rank ", rank))));
        continue;
      }
      const std::string what = stop_.load()    ? "interrupted"
                               : is_lost(rank) ? "is gone without a word"
                                               : "did not say how it ended";
      silent_.insert(rank);
      broken_ += text(broken_.empty() ? "" : "; ", "rank ", rank, " ", what);
      const FailureKind kind = stop_.load() ? FailureKind::interrupted : FailureKind::system;
      reports.push_back({.rank = rank, .failure = {kind, text("rank ", rank, " ", what), 0}});
    }
    return reports;
  }

  std::optional<std::string> reported(const std::string& key, int rank, Clock::time_point until) {
    while (true) {
      if (stop_.load() && !stopped_) stopped_ = Clock::now();
      const bool is_over = Clock::now() >= until || is_lost(rank) ||
                           (stopped_ && Clock::now() > *stopped_ + stopped_wait);
      auto words = server_->get(key, is_over ? milliseconds(0) : slice);
      if (words || is_over) return words;
    }
  }

  void say(const std::string& word) { server_->set(text("word/", num_words_++), word); }

  std::string hear_anything(milliseconds wait) {
    const std::string key = text("word/", num_words_);
    const Clock::time_point until = Clock::now() + wait;
    while (Clock::now() < until) {
      throw_if_stopped();
      std::optional<std::string> word;
      of_rank_0([&] { word = client_->get(key, slice); });
      if (word) {
        ++num_words_;
        if (word->starts_with("end ")) {
          const std::size_t space = word->find(' ', 4);
          ended_with_ = std::stoi(word->substr(4, space - 4));
          end_words_ = word->substr(space + 1);
          client_->set(text("left/", place_.rank), "");
        }
        return *word;
      }
    }
    throw SystemError(text("rank 0 said nothing within ", wait.count(), " ms"));
  }

  // A store that does not answer is a rank 0 that does not.
  template <typename Question>
  void of_rank_0(const Question& ask) {
    try {
      ask();
    } catch (const SystemError& error) {
      throw SystemError(text("rank 0 is gone or stopped: ", error.what()));
    }
  }

  std::string hear(milliseconds wait) {
    const std::string word = hear_anything(wait);
    if (ended_with_) throw SystemError(text("rank 0 has ended the job: ", end_words_));
    return word;
  }

  void throw_if_stopped() const {
    if (stop_.load()) throw SystemError("interrupted");
  }

  const JobPlace place_;
  const milliseconds deadline_;
  const std::atomic<bool>& stop_;
  Reach reach_;
  std::optional<StoreServer> server_;  // rank 0's
  std::optional<StoreClient> client_;
  milliseconds last_deadline_{0};
  Count line_ = 0;
  Count num_words_ = 0;  // that rank 0 has said, or that this rank has heard
  std::string broken_;
  std::set<int> silent_;  // ranks that did not report
  std::optional<Clock::time_point> stopped_;
  std::optional<int> ended_with_;
  std::string end_words_;
};

JoinedWorld::JoinedWorld(const JobPlace& place, milliseconds deadline,
                         const std::atomic<bool>& stop)
    : member_(std::make_unique<Member>(place, deadline, stop)) {}

JoinedWorld::~JoinedWorld() = default;

void JoinedWorld::meet(const Arrival& arrival) { member_->meet(arrival); }

std::vector<RankReport> JoinedWorld::run(const RankJob& job, const CommunicatorMaker& maker) {
  return member_->run(job, maker);
}

std::string JoinedWorld::broken() const { return member_->broken(); }

void JoinedWorld::end(int code, const std::string& why) { member_->end(code, why); }

int JoinedWorld::wait_for_end() { return member_->wait_for_end(); }

std::optional<int> JoinedWorld::ended_with() const { return member_->ended_with(); }

}  // namespace moe::sim
