// Peers that are late, gone or in another operation: a SystemError that names the peer, soon, and
// at once ever after. Which words each wire has for it is tests/unit/comm/failures_test.cc's.

#include <latch>
#include <optional>

#include "tests/conformance/conformance.h"

namespace moe::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds short_deadline{200};
// What a busy machine may add to a deadline before it counts as missed.
constexpr milliseconds slack{10000};

Subject impatient(Subject subject) {
  subject.deadline = short_deadline;
  return subject;
}

void gather_one_row(Communicator& group) {
  const Buffer own = patterned(group, 0, {1, 4, DType::f32});
  const Buffer all(group.memory(), {group.size(), 4, DType::f32});
  group.all_gather_v(one(own.tensor()), Counts(static_cast<std::size_t>(group.size()), 1),
                     one(all.tensor()));
}

// How a call ended, and after how long.
struct Ended {
  std::string kind;
  std::string words;
  milliseconds after{0};
};

template <typename Call>
Ended ended(const Call& call) {
  const Clock::time_point begin = Clock::now();
  const Outcome<bool> outcome = outcome_of<bool>([&] {
    call();
    return true;
  });
  return {outcome.kind, outcome.error,
          std::chrono::duration_cast<milliseconds>(Clock::now() - begin)};
}

using Call = std::function<void(Communicator&)>;

// Ranks 0 and 1 of three make a call to which rank 2 never comes.
void late_rank(const Subject& subject, const Call& call, Troubles& troubles) {
  std::latch done(2);
  const auto outcomes = run_subject(impatient(subject), 3, [&](Communicator& group) {
    std::optional<CountsDown> ends;
    if (group.rank() != 2) ends.emplace(done);
    group.barrier();
    if (group.rank() == 2) {
      done.wait();
      return std::vector<Ended>{};
    }
    const Ended first = ended([&] { call(group); });
    const Ended second = ended([&] { group.barrier(); });
    return std::vector<Ended>{first, second};
  });
  int num_names = 0;
  for (int rank = 0; rank < 2; ++rank) {
    const auto& outcome = outcomes[static_cast<std::size_t>(rank)];
    require(troubles, outcome.value.has_value(), outcome.error);
    if (!outcome.value) continue;
    const Ended& first = (*outcome.value)[0];
    const Ended& second = (*outcome.value)[1];
    require(troubles, first.kind == "SystemError",
            text("rank ", rank, " should hear a SystemError, not '", first.words, "'"));
    require(troubles, first.after < short_deadline + slack, "the deadline was missed");
    require(troubles, second.kind == "SystemError" && second.after < short_deadline,
            text("the group should be dead at once, not '", second.words, "'"));
    const bool names = contains(first.words, "rank 2 did not");
    num_names += names && contains(first.words, "200 ms") ? 1 : 0;
  }
  require(troubles, num_names > 0, "nobody says that rank 2 did not come within 200 ms");
}

void late_for_every_call(const Subject& subject, Troubles& troubles) {
  const std::vector<std::pair<std::string, Call>> calls = {
      {"all_gather_v", gather_one_row},
      {"barrier", [](Communicator& group) { group.barrier(); }},
      {"all_reduce",
       [](Communicator& group) {
         const Buffer sum = filled(group, std::vector<float>{1});
         group.all_reduce(sum.tensor(), ReduceOp::sum, sum.tensor());
       }},
      {"reduce_scatter_v",
       [](Communicator& group) {
         const Buffer rows = filled(group, std::vector<float>{1, 2, 3});
         const Buffer own(group.memory(), {1, 1, DType::f32});
         group.reduce_scatter_v(rows.tensor(), Counts{1, 1, 1}, own.tensor());
       }},
      {"all_to_all_v",
       [](Communicator& group) {
         const Buffer rows = filled(group, std::vector<float>{1, 2, 3});
         const Buffer got(group.memory(), {3, 1, DType::f32});
         group.all_to_all_v(one(rows.tensor()), Counts{1, 1, 1}, Counts{1, 1, 1},
                            one(got.tensor()));
       }},
      {"broadcast",
       [](Communicator& group) {
         const Buffer row = filled(group, std::vector<float>{1});
         group.broadcast(one(row.tensor()), 2);
       }},
      {"split", [](Communicator& group) { group.split(0, 0); }},
  };
  for (const auto& [name, call] : calls) {
    Troubles of_call;
    late_rank(subject, call, of_call);
    for (const std::string& trouble : of_call) troubles.push_back(text(name, ": ", trouble));
  }
}

void thrown_early(const Subject& subject, Troubles& troubles) {
  Subject patient = subject;
  patient.deadline = milliseconds(60000);
  for (const int size : {2, 4}) {
    const Clock::time_point begin = Clock::now();
    const auto outcomes = run_subject(patient, size, [&](Communicator& group) {
      group.barrier();
      if (group.rank() == 1) throw std::runtime_error("an error of rank 1");
      gather_one_row(group);
      return true;
    });
    require(troubles, Clock::now() - begin < patient.deadline / 2, "peers waited on");
    for (int rank = 0; rank < size; ++rank) {
      const std::string& kind = outcomes[static_cast<std::size_t>(rank)].kind;
      require(troubles, kind == (rank == 1 ? "exception" : "SystemError"),
              text("rank ", rank, " of ", size, ": '", kind, "'"));
    }
  }
}

// Whether a rank heard that others do something else: from its wire, or from ranks that compared.
template <typename T>
bool hears(const Outcome<T>& outcome) {
  return outcome.kind == "SystemError" || outcome.kind == "SEQ" || outcome.kind == "COUNT";
}

void different_operations(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(impatient(subject), 2, [](Communicator& group) {
    const Buffer large = patterned(group, 0, {64, 64, DType::f32});
    if (group.rank() == 0) gather_one_row(group);
    if (group.rank() == 1) group.broadcast(one(large.tensor()), 1);
    return true;
  });
  require(troubles, hears(outcomes[0]), "rank 0 took what was not sent to it");
}

void different_counts(const Subject& subject, Troubles& troubles) {
  for (const Count others : {30, 0}) {
    const auto outcomes = run_subject(impatient(subject), 2, [&](Communicator& group) {
      // Rank 0 expects 3 rows of rank 1, which has 30 or none.
      const Counts rows = group.rank() == 0 ? Counts{2, 3} : Counts{2, others};
      const Buffer own =
          patterned(group, 0, {rows[static_cast<std::size_t>(group.rank())], 8, DType::f32});
      const Buffer all(group.memory(), {total_rows(rows), 8, DType::f32});
      group.all_gather_v(one(own.tensor()), rows, one(all.tensor()));
      return true;
    });
    require(troubles, hears(outcomes[0]) && contains(outcomes[0].error, "rank 1"),
            text("rank 0 got ", others, " rows for 3: '", outcomes[0].error, "'"));
  }
}

void one_ahead(const Subject& subject, Troubles& troubles) {
  const auto outcomes = run_subject(impatient(subject), 2, [](Communicator& group) {
    if (group.rank() == 1) {
      // Nothing travels in this one, so nobody can notice it before the next.
      const Buffer none(group.memory(), {0, 4, DType::f32});
      group.all_gather_v(one(none.tensor()), Counts{0, 0}, one(none.tensor()));
    }
    gather_one_row(group);
    return true;
  });
  require(troubles, hears(outcomes[0]), "rank 0 got rows of another operation");
  require(troubles, hears(outcomes[1]), "rank 1 heard nothing");
}

void nobody_there(const Subject& subject, Troubles& troubles) {
  for (const bool sends : {false, true}) {
    std::latch done(1);
    const auto outcomes = run_subject(impatient(subject), 2, [&](Communicator& group) {
      if (group.rank() == 1) {
        done.wait();
        return std::string();
      }
      const Buffer rows = patterned(group, 0, {1, 4, DType::f32});
      const Ended end = ended([&] {
        if (sends) group.send(one(rows.tensor()), 1);
        if (!sends) group.recv(one(rows.tensor()), 1);
      });
      done.count_down();
      return end.words;
    });
    const std::string words = outcomes[0].value.value_or("");
    require(troubles, contains(words, "rank 1 did not") && contains(words, "within 200 ms"),
            text(sends ? "send" : "recv", " ended with '", words, "'"));
  }
}

}  // namespace

std::vector<ConformanceCase> failure_cases() {
  return {
      {"deadlines: a rank that does not come is named, and the group is dead", late_for_every_call},
      {"failures: a rank that throws ends the wait of its peers long before the deadline",
       thrown_early},
      {"failures: ranks in different operations hear of it", different_operations, true},
      {"failures: ranks that disagree about rows get an error instead of rows", different_counts,
       true},
      {"failures: a rank that is one operation ahead gets no rows of another", one_ahead, true},
      {"deadlines: a sender without a receiver and a receiver without a sender are told",
       nobody_there},
  };
}

}  // namespace moe::test
