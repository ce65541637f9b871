// TWICE by itself: a layer that is only a function here gives other bits the second time. What it
// and the other probes find of real faults is tests/fault's.

#include "sim/layer_probes.h"

#include "kernels/base/bits.h"
#include "tests/catch.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

Scenario one_token() {
  Scenario scenario;
  scenario.name = "one token";
  scenario.model.num_experts = 2;
  scenario.model.top_k = 1;
  scenario.model.hidden_size = 4;
  scenario.model.dtype = DType::f32;
  scenario.routing = UniformRouting{};
  scenario.values = Values::real;  // TWICE alone
  scenario.model.kernel = ExpertKernel::real;
  scenario.steps = {{1}};
  return scenario;
}

// What TWICE says of a row of zeros whose column 2 is another the second time.
std::string said_of(float first, float second) {
  const Scenario scenario = one_token();
  const WorldInputs inputs(scenario);
  const std::unique_ptr<Memory> memory = make_host_memory(Poison::off);
  CheckLedger ledger;
  const RowsAtExperts how;
  LayerProbes probes({.scenario = scenario, .inputs = inputs, .stage = {0, 1}, .how = how}, ledger);
  const auto row_with = [&](float value) {
    Buffer row(*memory, {1, 4, DType::f32});
    memory->fill(row.tensor(), 0);
    elements_of<float>(row.tensor())[2] = value;
    return row;
  };
  RankOutputs outputs;
  probes.note({0, 0, 0}, inputs.cell({0, 0, 0}, *memory), row_with(first).tensor(), outputs);
  probes.run([&](golden::Cell, const CellInputs&) { return row_with(second); });
  return ledger.findings().empty() ? "" : ledger.findings().front().sentence;
}

}  // namespace

TEST_CASE("probes: the same bits twice are no finding") { CHECK(said_of(1.5F, 1.5F).empty()); }

TEST_CASE("probes: other bits are found at their column, also those of an equal value") {
  CHECK_THAT(said_of(1.5F, 2.5F), Contains("token 0") && Contains("column 2 was 1.5 and is 2.5"));
  CHECK_THAT(said_of(0.0F, -0.0F), Contains("column 2 was 0 and is -0"));
}
