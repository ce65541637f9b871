// What the rows of a line's ranks need, by the sizes of rooms, and the words of a refusal.
// Numbers are worked out here, not read from the program.

#include "sim/room_estimate.h"

#include "sim/machine_memory.h"
#include "sim/registry.h"
#include "tests/catch.h"
#include "tests/judged_line.h"

using namespace moe;
using namespace moe::sim;
using Catch::Contains;

namespace {

constexpr Count gib = Count{1} << 30;

Scenario large_world() {
  Scenario scenario;
  scenario.name = "large rooms";
  scenario.world.dp = 8;
  scenario.model.num_experts = 64;
  scenario.model.top_k = 8;
  scenario.model.hidden_size = 7168;
  scenario.steps = {{1, 0, 0, 0, 0, 0, 0, 2}};
  return scenario;
}

RoomEstimate estimate_of(const Scenario& scenario, const std::string& backend,
                         const std::string& profile = "post-40412") {
  const WorldInputs inputs(scenario);
  return estimated_room(scenario, inputs, backend_named(backend).backend->capabilities,
                        profile_named(profile));
}

}  // namespace

TEST_CASE("rooms of a fixed size count in full, however few rows come") {
  const Scenario scenario = large_world();
  CHECK(estimate_of(scenario, "mori_high_throughput").bytes == Count{4} * 8 * 8 * 8192 * 7168 * 2);
  CHECK(estimate_of(scenario, "deepep_low_latency").bytes == Count{4} * 64 * 256 * 8 * 7168 * 2);
  CHECK(estimate_of(scenario, "pplx", "v0.9").bytes == Count{4} * 64 * 256 * 8 * 7168 * 2);
  CHECK(estimate_of(scenario, "flashinfer_nvlink_one_sided").bytes == 4 * 8 * 8 * 2 * 7168 * 2);
  CHECK(estimate_of(scenario, "allgather_reducescatter").bytes == 4 * 8 * 3 * 7168 * 2);
}

TEST_CASE("TP ranks that split the sending share a room, chunks make it small") {
  Scenario scenario = large_world();
  scenario.world.tp = 2;
  scenario.dp_chunking = DpChunking{.rows_max = 16};
  CHECK(estimate_of(scenario, "pplx", "v0.9").bytes == Count{4} * 64 * 16 * 8 * 7168 * 2);
  CHECK_THAT(estimate_of(scenario, "pplx", "v0.9").lower, Contains("dp_chunking.rows_max (16)"));
}

TEST_CASE("weights of real experts count as well, and are what is to be lowered") {
  Scenario scenario = large_world();
  scenario.model.intermediate_size = 2048;
  scenario.model.num_layers = 4;
  scenario.model.kernel = ExpertKernel::real;
  scenario.values = Values::real;
  const RoomEstimate estimate = estimate_of(scenario, "allgather_reducescatter");
  CHECK(estimate.bytes == 4 * 8 * 3 * 7168 * 2 + Count{3} * 4 * 64 * 3 * 7168 * 2048 * 2);
  CHECK_THAT(estimate.words, Contains("63.0 GiB for the weights of 64 experts in 4 layers"));
  CHECK_THAT(estimate.lower, Contains("model.experts"));
}

TEST_CASE("a line that needs more than half of the machine is refused with its factors") {
  const RoomEstimate estimate = estimate_of(large_world(), "mori_high_throughput");
  CHECK(room_refusal(estimate, 60 * gib) == "");
  CHECK(room_refusal(estimate, 24 * gib) ==
        "needs about 28.0 GiB for the rows of all ranks: 8 ranks x 65536 rows of room (capacity "
        "8192 of each of 8 ranks) x hidden 7168 x 2 bytes, 4 times (what comes, what experts make "
        "of it, a copy of either); this machine has 24.0 GiB, of which a line may take half: lower "
        "capacity.max_num_batched_tokens (8192)");
}

TEST_CASE("a small scenario that would take all memory is an error before any rank starts") {
  Scenario scenario = large_world();
  scenario.max_num_batched_tokens = machine_memory_bytes() / 7168;
  const LoadedScenario loaded(scenario);
  RunLine line{.backend = "mori", .communicator = "local", .platform = "rocm"};
  CHECK_THROWS_WITH(
      judged_line(loaded, line),
      Contains("backend mori needs about") && Contains("lower capacity.max_num_batched_tokens"));
  CHECK_THAT(line_refusal(loaded, line), Contains("backend mori needs about"));
}
