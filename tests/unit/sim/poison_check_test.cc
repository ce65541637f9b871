// POISON by itself: what it says of a row that holds NaN.
// That faults are named by it is tests/fault's.

#include "sim/poison_check.h"

#include <limits>

#include "kernels/base/bits.h"
#include "kernels/device_makers.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

// What is said of one row with these numbers; "" where nothing is.
std::string said_of(const std::vector<float>& values) {
  const std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  const Buffer row(*memory, {1, static_cast<Count>(values.size()), DType::f32});
  std::ranges::copy(values, elements_of<float>(row.tensor()).begin());
  CheckLedger ledger;
  const auto token_of = [](Count) { return std::string("token 7"); };
  check_poison({0, 0, 0}, RowsOf::output, row.tensor(), token_of, ledger);
  return ledger.findings().empty() ? "" : ledger.findings().front().sentence;
}

}  // namespace

TEST_CASE("poison: numbers and infinities are no finding") {
  CHECK(said_of({1, -2, 0}) == "");
  CHECK(said_of({infinity, 1, -infinity}) == "");
}

TEST_CASE("poison: a NaN came from memory that nobody wrote") {
  CHECK_THAT(said_of({1, not_a_number, 2}),
             Contains("(token 7), column 1 holds NaN, which came from memory that nobody wrote"));
}

TEST_CASE("poison: beside infinities sums may have been too large") {
  CHECK_THAT(
      said_of({1, infinity, not_a_number}),
      Contains("column 2 holds NaN beside infinities: numbers too large for their type, or"));
}
