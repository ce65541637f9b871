// Budgets of small layers, worked out by hand from the reference algorithms. That real layers keep
// them is the check BYTES, in every run.

#include "backends/traffic_budget.h"
#include "tests/catch.h"

namespace moe::backends {
extern const Backend allgather_reducescatter;
extern const Backend deepep_high_throughput;
extern const Backend deepep_low_latency;
extern const Backend flashinfer_nvlink_one_sided;
extern const Backend flashinfer_nvlink_two_sided;
extern const Backend mori_high_throughput;
extern const Backend no_ep;
extern const Backend skeleton;
}  // namespace moe::backends
namespace moe::legacy {
extern const Backend naive;
extern const Backend pplx;
}  // namespace moe::legacy

using namespace moe;

namespace {

// Of a rank: 10 columns of bf16, top-2, logits of 7 experts.
Traffic budget(const Backend& backend, const Deployment& deployment, int rank, RowCounts tokens,
               DispatchSite site = DispatchSite::kernel) {
  return traffic_budget({.backend = backend,
                         .site = site,
                         .sizes = deployment.sizes,
                         .parallel = make_parallel_config(deployment, rank),
                         .tp_rank = coordinates_of(deployment.sizes, rank).tp,
                         .widths = {.hidden_columns = 10,
                                    .dtype = DType::bf16,
                                    .routing_bytes = {8, 8},
                                    .logits_bytes = 28}},
                        tokens);
}

void check_is(const Traffic& actual, const Traffic& expected) {
  CHECK(actual.rows == expected.rows);
  CHECK(actual.bytes == expected.bytes);
  CHECK(actual.collectives == expected.collectives);
}

const std::vector<Count> three_and_five = {3, 5};

}  // namespace

TEST_CASE("traffic budget: gather own rows to the other rank, scatter its rows back") {
  const Deployment dp2{.sizes = {.dp = 2}};
  check_is(budget(backends::allgather_reducescatter, dp2, 0, three_and_five),
           {.bytes = 3 * 36 + 5 * 20, .rows = 3 + 5, .collectives = 2});
  check_is(budget(backends::allgather_reducescatter, dp2, 1, three_and_five),
           {.bytes = 5 * 36 + 3 * 20, .rows = 5 + 3, .collectives = 2});
  check_is(budget(backends::skeleton, dp2, 0, three_and_five),
           {.bytes = 3 * 36 + 5 * 20, .rows = 3 + 5, .collectives = 2});
}

TEST_CASE("traffic budget: a runner's dispatch carries logits in the place of choices") {
  check_is(budget(backends::allgather_reducescatter, {.sizes = {.dp = 2}}, 0, three_and_five,
                  DispatchSite::runner),
           {.bytes = 3 * 48 + 5 * 20, .rows = 3 + 5, .collectives = 2});
}

TEST_CASE("traffic budget: without DP ranks only the sum over TP moves, half of it twice") {
  const std::vector<Count> four = {4};
  check_is(budget(backends::no_ep, {.sizes = {.tp = 2}}, 0, four),
           {.bytes = (20 + 20) * 2, .rows = 4, .collectives = 1});
  check_is(budget(backends::no_ep, {}, 0, four), {.bytes = 0, .rows = 0, .collectives = 0});
}

TEST_CASE("traffic budget: sequence parallel ranks gather their shares and sum nothing over TP") {
  const Deployment sp{.sizes = {.dp = 2, .tp = 2}, .sequence_parallel = true};
  // shares of [3, 5] are [2, 2, 3, 3]
  check_is(budget(backends::allgather_reducescatter, sp, 3, three_and_five),
           {.bytes = 3 * 3 * 36 + 7 * 20 + 3 * 20, .rows = 9 + 7 + 3, .collectives = 3});
}

TEST_CASE("traffic budget: a broadcast costs its root, tensor by tensor, and tags go alone") {
  const Deployment dp2{.sizes = {.dp = 2}};
  // 4 tensors of 2 slices each; 8 rows of 10 columns summed, 40 elements a part
  check_is(budget(legacy::naive, dp2, 0, three_and_five),
           {.bytes = 3 * (20 + 8 + 8 + 8) + 80 * 2, .rows = 4 * 3 + 8, .collectives = 8 + 1});
}

TEST_CASE("traffic budget: a backend that declares no moves has none, and says so") {
  const Backend silent{};
  CHECK_THROWS_WITH(budget(silent, {}, 0, three_and_five),
                    Catch::Contains("does not declare its dispatch_move"));
}

// distribution-layer.md, 9.12: b is a row and its scales; 9.3 to 9.8 say what each backend sends.
TEST_CASE("traffic budget: a row of 4096 values in every format, with its scales") {
  constexpr Count hidden = 4096;
  struct Row {
    const Backend& backend;
    QuantRecipe recipe;
    Count bytes;
  };
  using namespace backends;
  using Q = QuantRecipe;
  const std::vector<Row> rows = {
      {allgather_reducescatter, Q::none, 2 * hidden},
      {allgather_reducescatter, Q::fp8_static_tensor, hidden},  // the scale stays where it is
      {allgather_reducescatter, Q::fp8_dynamic_token, hidden + 4},
      {allgather_reducescatter, Q::fp8_block128, hidden + hidden / 128 * 4},
      {allgather_reducescatter, Q::int8_dynamic_token, hidden + 4},
      {allgather_reducescatter, Q::nvfp4, hidden / 2 + hidden / 16},
      {allgather_reducescatter, Q::mxfp4_cutlass, hidden / 2 + hidden / 32},
      {allgather_reducescatter, Q::mxfp8, hidden + hidden / 32},
      {deepep_high_throughput, Q::fp8_block128, hidden + hidden / 128 * 4},
      {deepep_high_throughput, Q::fp8_dynamic_token, 2 * hidden},  // codes are made after receipt
      {deepep_high_throughput, Q::nvfp4, 2 * hidden},
      {deepep_low_latency, Q::fp8_block128, hidden + hidden / 128 * 4},
      {deepep_low_latency, Q::fp8_static_tensor, 2 * hidden},
      {mori_high_throughput, Q::fp8_static_tensor, hidden + 4},  // the scale goes with every row
      {mori_high_throughput, Q::fp8_dynamic_token, hidden + 4},
      {mori_high_throughput, Q::fp8_block128, hidden + hidden / 128 * 4},
      {flashinfer_nvlink_two_sided, Q::nvfp4, hidden / 2 + hidden / 16},
      {flashinfer_nvlink_one_sided, Q::nvfp4, hidden / 2 + hidden / 16},
      {flashinfer_nvlink_one_sided, Q::mxfp8, hidden + hidden / 32},
      {flashinfer_nvlink_one_sided, Q::fp8_block128, hidden + hidden / 128 * 4},
      {legacy::pplx, Q::fp8_dynamic_token, hidden + 16},  // scales fill 16 bytes
      {legacy::pplx, Q::fp8_static_tensor, hidden + 16},
      {legacy::pplx, Q::fp8_block128, hidden + hidden / 128 * 4},
      {legacy::naive, Q::fp8_block128, 2 * hidden}};
  for (const Row& row : rows) {
    INFO(recipe_row(row.recipe).name);
    CHECK(wire_row_bytes(row.backend.capabilities, row.recipe, hidden, DType::bf16) == row.bytes);
  }
}

TEST_CASE("traffic budget: low latency makes codes of rows as wide as its library takes") {
  const Capabilities& capabilities = backends::deepep_low_latency.capabilities;
  CHECK(wire_row_bytes(capabilities, QuantRecipe::fp8_block128, 200, DType::bf16) ==
        2048 + 2048 / 128 * 4);
  CHECK(wire_row_bytes(capabilities, QuantRecipe::none, 200, DType::bf16) == 2 * 2048);
}
