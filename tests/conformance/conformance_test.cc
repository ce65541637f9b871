// Every communicator of this build passes every case; a communicator that lacks something fails the
// cases that ask for it, and no others.

#include <algorithm>
#include <iostream>
#include <set>

#include "tests/catch.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/incomplete_communicator.h"

namespace moe::test {
namespace {

std::vector<ConformanceCase> all_cases() {
  std::vector<ConformanceCase> all;
  for (const auto& part : {move_cases(), sum_cases(), group_cases(), failure_cases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

// The same ranks with what every run has around them: they compare their operations first.
Subject compared(const Subject& subject) {
  Subject dressed = subject;
  dressed.dressed = [](std::unique_ptr<Communicator> inner) -> std::unique_ptr<Communicator> {
    return std::make_unique<TracedCommunicator>(std::move(inner), Agreement::checked);
  };
  return dressed;
}

// What is wrong with a case; what of it could not be run for want of devices is said.
Troubles troubles_of(const ConformanceCase& one, const Subject& subject) {
  const bool lacks_comparison = one.compares_operations && !subject.maker.compares_operations;
  Troubles troubles;
  if (one.needs_symmetric_memory && subject.maker.make_symmetric == nullptr) {
    std::cout << subject.maker.name << ": " << one.name << ": not run, it has none\n";
    return troubles;
  }
  try {
    one.look(lacks_comparison ? compared(subject) : subject, troubles);
  } catch (const TooFewDevices& few) {
    std::cout << subject.maker.name << ": " << one.name << ": not run with " << few.ranks
              << " ranks and more, there are " << few.devices << " devices\n";
  }
  return troubles;
}

// The cases that a communicator of the build fails, over every device of this machine that it
// moves rows of.
void check_part(const std::vector<ConformanceCase>& cases) {
  for (const CommunicatorMaker& maker : communicator_makers()) {
    if (maker.make == nullptr) {
      CHECK(std::string(maker.absence) != "");  // `moebius list communicators` says it
      continue;
    }
    for (const DeviceMaker& device : device_makers()) {
      if (!moves_memory_of(maker, device.kind) || !device.absence().empty()) continue;
      for (const ConformanceCase& one : cases) {
        INFO(maker.name << " on " << name_of(device.kind) << ": " << one.name);
        CHECK(troubles_of(one, {.maker = maker, .device = device.kind}) == Troubles{});
      }
    }
  }
}

using Names = std::set<std::string>;

// The cases that a local communicator with the lapse fails.
Names failed(const std::vector<ConformanceCase>& cases, const std::string& call, Lapse lapse) {
  const Subject subject{maker_of("local"),
                        [&](std::unique_ptr<Communicator> inner) {
                          return incomplete(std::move(inner), call, lapse);
                        },
                        milliseconds(500)};
  Names names;
  for (const ConformanceCase& one : cases) {
    if (!troubles_of(one, subject).empty()) names.insert(one.name);
  }
  return names;
}

// All cases whose name holds one of the words.
Names named(const std::vector<ConformanceCase>& cases, const std::vector<std::string>& words) {
  Names names;
  for (const std::string& word : words) {
    const std::size_t before = names.size();
    for (const ConformanceCase& one : cases) {
      if (contains(one.name, word)) names.insert(one.name);
    }
    INFO(word);
    CHECK(names.size() > before);
  }
  return names;
}

std::vector<ConformanceCase> without_failures() {
  std::vector<ConformanceCase> cases = all_cases();
  std::erase_if(cases, [](const ConformanceCase& one) {
    return one.name.starts_with("failures") || one.name.starts_with("deadlines");
  });
  return cases;
}

// Which cases ask for a call, by words of their names: all that fail where it is not written.
struct Asked {
  std::string call;
  std::vector<std::string> by;
  std::vector<std::string> by_failures;
};

const std::vector<Asked> asked = {
    {"all_gather_v",
     {"all_gather_v:", "every dtype", "made-up", "split: a rank of no", "split: groups by color",
      "split: twice"},
     {"deadlines: a rank", "throws", "different operations", "disagree", "one operation ahead"}},
    {"reduce_scatter_v", {"reduce_scatter_v:", "made-up"}, {"deadlines: a rank"}},
    {"all_to_all_v", {"all_to_all_v:", "every dtype"}, {"deadlines: a rank"}},
    {"broadcast", {"broadcast:"}, {"deadlines: a rank"}},
    {"all_reduce",
     {"all_reduce", "sums of bf16", "made-up", "group's sums"},
     {"deadlines: a rank"}},
    {"send", {"send and recv", "group's sums"}, {"deadlines: a sender"}},
    {"recv", {"send and recv", "group's sums"}, {"deadlines: a sender"}},
    {"barrier", {"barrier:", "split: groups by color"}, {"deadlines: a rank", "throws"}},
    {"split", {"split:"}, {"deadlines: a rank"}},
};

}  // namespace

TEST_CASE("conformance: rows move as said on every communicator of this build") {
  check_part(move_cases());
}

TEST_CASE("conformance: sums have the bits of the rank order on every communicator") {
  check_part(sum_cases());
}

TEST_CASE("conformance: groups by split on every communicator") { check_part(group_cases()); }

TEST_CASE("conformance: queued calls and symmetric memory on every communicator") {
  check_part(queue_cases());
}

TEST_CASE("conformance: rows at their places on every communicator") { check_part(place_cases()); }

TEST_CASE("conformance: late, lost and astray peers on every communicator") {
  check_part(failure_cases());
}

TEST_CASE("conformance: a communicator that lacks a call fails the cases that ask for it") {
  const std::vector<ConformanceCase> cases = all_cases();
  for (const Asked& one : asked) {
    CAPTURE(one.call);
    std::vector<std::string> words = one.by;
    words.insert(words.end(), one.by_failures.begin(), one.by_failures.end());
    CHECK(failed(cases, one.call, Lapse::refuses) == named(cases, words));
  }
  CHECK(failed(cases, "no such call", Lapse::refuses) == Names{});
}

TEST_CASE("conformance: a communicator that skips a call fails the cases that ask for it") {
  const std::vector<ConformanceCase> cases = without_failures();
  for (const Asked& one : asked) {
    CAPTURE(one.call);
    Names expected = named(cases, one.by);
    // Without any row there is nothing to see of a gather, and a barrier shows in its own case.
    if (one.call == "all_gather_v") {
      expected.erase("all_gather_v: a list in the order of the ranks, rows: none");
    }
    if (one.call == "barrier") expected = named(cases, {"barrier:"});
    CHECK(failed(cases, one.call, Lapse::skips) == expected);
  }
}

TEST_CASE("conformance: a call that does its work in part fails the cases of what is missing") {
  const std::vector<ConformanceCase> cases = without_failures();
  for (const std::string call : {"all_gather_v", "all_to_all_v", "broadcast", "send"}) {
    CAPTURE(call);
    Names expected = named(cases, {call == "send" ? "send and recv" : text(call, ":")});
    expected.erase("all_gather_v: a list in the order of the ranks, rows: none");
    expected.erase("all_gather_v: own rows may already lie in the gathered tensor");
    CHECK(failed(cases, call, Lapse::first_of_list_only) == expected);
  }
  CHECK(failed(cases, "all_gather_v", Lapse::no_zero_rows) ==
        named(cases, {"rows: idle", "rows: none", "rows: one rank", "rows: uneven", "every dtype",
                      "made-up"}));
  CHECK(failed(cases, "all_gather_v", Lapse::no_fp8) ==
        named(cases, {"in the order of the ranks, rows", "every dtype"}));
  CHECK(failed(cases, "", Lapse::rounds_between) == named(cases, {"sums of bf16", "made-up"}));
  CHECK(failed(failure_cases(), "", Lapse::names_nobody) ==
        named(failure_cases(), {"deadlines:", "disagree"}));
}

TEST_CASE("conformance: what a case found before it wanted more devices stays") {
  const ConformanceCase wants_more{"one that wants more", [](const Subject&, Troubles& troubles) {
                                     troubles.push_back("found with two ranks");
                                     throw TooFewDevices{3, 2};
                                   }};
  CHECK(troubles_of(wants_more, {maker_of("local")}) == Troubles{"found with two ranks"});
}

TEST_CASE("conformance: ranks that compare their operations need no wire that does") {
  CommunicatorMaker blind = maker_of("local");
  blind.compares_operations = false;
  int num_cases = 0;
  for (const ConformanceCase& one : failure_cases()) {
    if (!one.compares_operations) continue;
    ++num_cases;
    INFO(one.name);
    CHECK(troubles_of(one, {.maker = blind}) == Troubles{});
  }
  CHECK(num_cases == 3);
}

}  // namespace moe::test
