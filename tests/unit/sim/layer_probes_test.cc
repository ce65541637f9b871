// Probes by themselves: a layer that is only a function here gives other bits the second time, or
// leaves its factor out. What the probes find of real faults is tests/fault's.

#include "sim/layer_probes.h"

#include <algorithm>

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

namespace {

// What WONCE says of a layer that leaves out its factor of 0.5, for a token whose first column is
// due as zero.
std::string said_without_factor() {
  Scenario scenario = one_token();
  scenario.values = Values::integers;
  scenario.model.kernel = ExpertKernel::probe;
  scenario.model.scale = 0.5;
  const std::unique_ptr<Memory> memory = make_host_memory(Poison::off);
  const golden::Cell cell{0, 0, 0};
  const RowsAtExperts how;
  for (scenario.seed = 1; scenario.seed < 100; ++scenario.seed) {
    const WorldInputs inputs(scenario);
    if (inputs.expected(cell, inputs.cell(cell, *memory), how).values[0] != 0) continue;
    const auto layer = [&](golden::Cell at, const CellInputs& given) {
      Buffer output(*memory, {1, 4, DType::f32});
      const std::vector<double> due = inputs.expected(at, given, how).values;
      std::ranges::transform(due, elements_of<float>(output.tensor()).begin(),
                             [](double value) { return static_cast<float>(2 * value); });
      return output;
    };
    CheckLedger ledger;
    LayerProbes probes({.scenario = scenario, .inputs = inputs, .stage = {0, 1}, .how = how},
                       ledger);
    RankOutputs outputs;
    const CellInputs own = inputs.cell(cell, *memory);
    probes.note(cell, own, layer(cell, own).tensor(), outputs);
    probes.run(layer);
    return ledger.findings().empty() ? "" : ledger.findings().front().sentence;
  }
  return "no token has a zero in its first column";
}

}  // namespace

TEST_CASE("probes: a factor that is left out is shown where something is due") {
  const std::string said = said_without_factor();
  CHECK_THAT(said, Contains("the routed scaling factor 0.5 is applied 0 times"));
  CHECK_THAT(said, !Contains("column 0") && !Contains("where 0 is due"));
}
