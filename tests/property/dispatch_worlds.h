// Small worlds in which a backend's dispatch and combine run alone, without a layer around them:
// what arrived on each rank and what came home, as numbers. For the laws of distribution-layer.md,
// 19; the experts are this file's own.

#pragma once

#include <string>
#include <vector>

#include "backends/placement/expert_placement.h"
#include "sim/registry.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {

using Numbers = std::vector<double>;
using Ids = std::vector<int>;

// What an expert answers. scaled: the row times expert_scale, weighted and summed over this rank's
// choices in the standard format. same: the row itself, once, whatever was chosen.
enum class Answer { scaled, same };

// What stands where no row is valid, and at the weights of masked choices.
enum class Unused { zeros, nans };

struct DispatchWorld {
  int num_experts = 4;
  int top_k = 1;
  std::vector<Ids> ids;  // of each rank, row by row; -1 masked
  Placement placement = Placement::linear;
  Answer answer = Answer::scaled;
  Unused unused = Unused::nans;
  bool ones = false;  // weights 1, else small whole numbers
  bool weight_on_input = false;
  int calls = 1;  // with the same dispatcher; every second one is the last rank's rows alone
  std::uint64_t arrival_seed = 0;

  int num_ranks() const { return static_cast<int>(ids.size()); }
  std::vector<Count> tokens() const;
};

constexpr Count hidden_columns = 3;
constexpr Count tokens_of_rank_max = 4;  // fixed capacity of these worlds

// The factor of a global expert, and a row's first column and weights.
double expert_scale(int expert);
double row_value(int rank, Count row, Count column);
double weight_of(const DispatchWorld& world, int rank, Count row, int slot);

// One call as one rank saw it.
struct Call {
  std::vector<std::int64_t> tags = {};  // of each dispatched row; -1: nobody sent it
  Numbers rows = {};
  Numbers ids = {};      // standard format
  Numbers weights = {};  // standard format
  Numbers counts = {};   // empty: none were given
  std::vector<Count> rows_per_rank = {};
  Count collectives = 0;  // that this rank called
  Numbers home = {};      // [rows, hidden_columns]
  bool inputs_unchanged = false;

  bool operator==(const Call&) const = default;
};

// The calls of each rank. Throws std::runtime_error with a rank's words where one fails.
std::vector<std::vector<Call>> run_dispatch(const sim::RegistryRow& row,
                                            const DispatchWorld& world);

// What a rank says that has begun so many dispatches, finishes one and begins another, then
// finishes them all; "" where all went well.
std::string words_of_flights(const sim::RegistryRow& row, const DispatchWorld& world, int begun);

// What every row's choices make of it: what must come home.
Numbers due(const DispatchWorld& world, int rank);

// Why the backend's library or this build cannot run the world; empty: it can.
std::string refusal(const sim::RegistryRow& row, const DispatchWorld& world);

// All worlds of one or two ranks with up to two rows that choose among two experts, then of two
// ranks that choose one of four; then made-up ones of up to four ranks.
std::vector<DispatchWorld> dispatch_worlds();

}  // namespace moe::test
