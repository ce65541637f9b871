// CAP and ALIAS by themselves: sizes below and above the worst case, a capacity, a guard row, bytes
// that changed and memory that is shared. Real layers are in the fault tests.

#include "sim/storage_checks.h"

#include <algorithm>

#include "backends/placement/expert_placement.h"
#include "sim/run.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

// Rank 0 of DP 2 with 3 and 5 tokens of 16 columns.
struct Layer {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  LoadedScenario loaded{[] {
    Scenario scenario;
    scenario.name = "storage";
    scenario.world.dp = 2;
    scenario.model.hidden_size = 16;
    scenario.routing = UniformRouting{};
    scenario.steps = {{3, 5}};
    return scenario;
  }()};
  Capabilities capabilities{};
  ExpertMap expert_map = determine_expert_map(8, 2, Placement::linear);
  Count max_num_tokens = 0;
  CheckLedger ledger;
  Dispatched dispatched;

  explicit Layer(Count declared) {
    const Tensor rows = dispatched.handle.keep(Buffer(*memory, {declared, 16, DType::bf16}));
    dispatched.hidden_states = rows_of(rows, 0, std::min<Count>(declared, 8));
  }

  // What CAP says; empty if nothing.
  std::string said() {
    const ConservationFacts facts{loaded.inputs, expert_map, capabilities,
                                  make_parallel_config(loaded.scenario.world.deployment(), 0)};
    check_capacity({facts, 16, DType::bf16, 2, {}, 4, max_num_tokens}, {}, dispatched, *memory,
                   ledger);
    return ledger.findings().empty() ? "" : ledger.findings()[0].sentence;
  }
};

}  // namespace

TEST_CASE("CAP: a buffer of the worst case is right") { CHECK(Layer(8).said().empty()); }

TEST_CASE("CAP: a row too few and a row too many are named with both numbers") {
  CHECK_THAT(Layer(7).said(), Contains("dispatched rows is declared for 7 rows, 8 must fit"));
  CHECK_THAT(Layer(9).said(), Contains("declared for 9 rows, more than the worst case of 8"));
}

TEST_CASE("CAP: a workspace is held to the same") {
  Layer layer(8);
  layer.dispatched.handle.keep_workspace(Buffer(*layer.memory, {6, 16, DType::bf16}));
  CHECK_THAT(layer.said(), Contains("workspace of the experts is declared for 6 rows"));
}

TEST_CASE("CAP: more tokens than a rank may submit are named") {
  Layer layer(8);
  layer.capabilities.fixed_capacity = FixedCapacity{};
  layer.max_num_tokens = 4;
  CHECK_THAT(layer.said(), Contains("5 tokens of one rank, of at most 4"));
}

TEST_CASE("CAP: a guard row that somebody overwrote is named") {
  Layer layer(8);
  static_cast<std::uint8_t*>(layer.dispatched.hidden_states.data)[8 * 32] = 1;
  CHECK_THAT(layer.said(), Contains("guard row") && Contains("overwritten"));
}

TEST_CASE("ALIAS: an input that changed, and an output that lies in it, are named") {
  const auto memory = make_host_memory(Poison::on);
  const Buffer rows(*memory, {4, 8, DType::u8});
  const Buffer apart(*memory, {4, 8, DType::u8});
  memory->fill(rows.tensor(), 0);
  CheckLedger ledger;
  const ConstInput input("hidden_states", rows.tensor(), *memory);
  input.check({}, ledger);
  input.check_apart({}, "output", apart.tensor(), ledger);
  CHECK(ledger.findings().empty());
  input.check_apart({}, "output", rows_of(rows.tensor(), 3, 1), ledger);
  memory->fill(rows_of(rows.tensor(), 3, 1), 1);
  input.check({}, ledger);
  REQUIRE(ledger.findings().size() == 2);
  CHECK_THAT(ledger.findings()[0].sentence,
             Contains("output [1, 8]") && Contains("shares memory with the input hidden_states"));
  CHECK_THAT(ledger.findings()[1].sentence, Contains("is not what it was before"));
}
