// Seeded faults of the oracles (fault-catalogue.md, F9): capability rows, the choice and the
// parallel predicates that lie. Decorators of what an oracle is asked with; the healthy code knows
// none of them. Called by `moebius oracle --fault` and by tests.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/oracle/experts_oracle.h"

namespace moe {

// A row of `moebius list faults` whose place is the oracles.
struct OracleFaultRow {
  std::string_view name;
  std::string_view lie;
  std::string_view upstream;
  std::string_view parameters;  // as --fault takes them
  std::string_view example;     // what to give --fault
};
std::span<const OracleFaultRow> all_oracle_faults();

// A thing that can be wrong in a row: a value of one of its sets, a flag, the format.
struct ClassBit {
  std::string name;  // "format", "activation gelu", "parallel no EPLB", …
  void (*flip)(ExpertsClass& row, int value) = nullptr;
  int value = 0;
};
// Those of every row. Sets of rules lose a rule: "scheme 2", "device 0".
std::vector<ClassBit> class_bits(const ExpertsClass& row);

// The table with one bit of one row flipped.
std::vector<ExpertsClass> with_lie(std::span<const ExpertsClass> rows, std::string_view profile,
                                   std::string_view experts, const ClassBit& bit);

// A predicate of the parallel configuration that is answered wrongly.
enum class ParallelBit { all2all, ag_rs, flashinfer, deepep_ht, batched, eplb };
std::string_view name_of(ParallelBit bit);
std::span<const ParallelBit> all_parallel_bits();
ParallelTraits with_lie(ParallelTraits traits, ParallelBit bit);

// The deployment as an oracle sees it that ignores the request.
ExpertsDeployment without_request(ExpertsDeployment deployment);

}  // namespace moe
