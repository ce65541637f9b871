// Budgets of small layers, worked out by hand from the reference algorithms. That real layers keep
// them is the check BYTES, in every run.

#include "backends/traffic_budget.h"
#include "tests/catch.h"

namespace moe::backends {
extern const Backend allgather_reducescatter;
extern const Backend no_ep;
extern const Backend skeleton;
}  // namespace moe::backends
namespace moe::legacy {
extern const Backend naive;
}

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
