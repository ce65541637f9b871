// Rearrangements over real ranks: weights end in the slots that the maps name, all ranks commit or
// none, and what a router and experts see follows.

#include "backends/placement/rearrangement.h"

#include "backends/placed_experts.h"
#include "backends/placement/expert_rows.h"
#include "backends/replica_router.h"
#include "backends/routers.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;
using namespace moe::test;
using Ints = std::vector<int>;

namespace {

// Every element of an expert's rows is its number.
Buffer numbered(std::span<const int> experts, Count rows_each, Count columns, Memory& memory) {
  std::vector<double> values;
  for (const int expert : experts) {
    values.insert(values.end(), static_cast<std::size_t>(rows_each * columns), expert);
  }
  return rows_with(memory, {std::ssize(experts) * rows_each, columns, DType::f32}, values);
}

ExpertWeights weights_of(std::span<const int> experts, Memory& memory) {
  return GemmWeights{.w13 = numbered(experts, 4, 3, memory),
                     .w2 = numbered(experts, 3, 2, memory),
                     .w13_bias = {},
                     .w2_bias = numbered(experts, 1, 3, memory)};
}

// The number that stands in each slot, -1 where a slot's elements differ.
Ints experts_in(const ExpertWeights& weights, int num_slots) {
  const auto& gemm = std::get<GemmWeights>(weights);
  Ints experts;
  for (const Buffer* buffer : {&gemm.w13, &gemm.w2, &gemm.w2_bias}) {
    const std::vector<double> values = values_of(buffer->tensor());
    const std::size_t each = values.size() / static_cast<std::size_t>(num_slots);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int slot = static_cast<int>(i / each);
      const int value = static_cast<int>(values[i]);
      if (slot == std::ssize(experts)) experts.push_back(value);
      if (experts[static_cast<std::size_t>(slot)] != value) {
        experts[static_cast<std::size_t>(slot)] = -1;
      }
    }
  }
  return experts;
}

// Flips a bit of the first element that this rank receives in an all-to-all.
class LyingWire final : public Communicator {
 public:
  explicit LyingWire(Communicator& inner) : inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  Memory& memory() override { return inner_.memory(); }

 private:
  void do_all_gather_v(Tensors rows, RowCounts counts, Tensors gathered) override {
    inner_.all_gather_v(rows, counts, gathered);
  }
  void do_reduce_scatter_v(const Tensor& rows, RowCounts counts, const Tensor& own) override {
    inner_.reduce_scatter_v(rows, counts, own);
  }
  void do_all_to_all_v(Tensors sent, RowCounts to, RowCounts from, Tensors received) override {
    inner_.all_to_all_v(sent, to, from, received);
    if (bytes_of(received[0]) > 0) *static_cast<std::uint8_t*>(received[0].data) ^= 1;
  }
  void do_broadcast(Tensors rows, int root) override { inner_.broadcast(rows, root); }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    inner_.all_reduce(in, op, out);
  }
  void do_send(Tensors rows, int to) override { inner_.send(rows, to); }
  void do_recv(Tensors rows, int from) override { inner_.recv(rows, from); }
  void do_barrier() override { inner_.barrier(); }
  std::unique_ptr<Communicator> do_split(int color, int key) override {
    return inner_.split(color, key);
  }

  Communicator& inner_;
};

struct Maps {
  Ints before;
  Ints after;
  int num_logical = 0;
};

struct Ended {
  Ints experts;
  Ints map;
  Ints refusing;
  int version = 0;
};

Ended rearranged(const Maps& maps, Communicator& group) {
  const std::size_t each = maps.before.size() / static_cast<std::size_t>(group.size());
  const auto own =
      std::span(maps.before).subspan(static_cast<std::size_t>(group.rank()) * each, each);
  const auto placement = make_layer_placement(replica_maps(maps.before, maps.num_logical),
                                              weights_of(own, group.memory()));
  const Ints refusing = rearrange(*placement, replica_maps(maps.after, maps.num_logical), group);
  return {experts_in(placement->weights(), static_cast<int>(each)),
          placement->maps().physical_to_logical, refusing, placement->version()};
}

Ints all_experts(const std::vector<Outcome<Ended>>& outcomes) {
  Ints experts;
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    experts.insert(experts.end(), outcome.value->experts.begin(), outcome.value->experts.end());
  }
  return experts;
}

const Maps three_ranks = {{0, 1, 2, 3, 0, 1}, {3, 1, 2, 0, 3, 3}, 4};

}  // namespace

TEST_CASE("rearrangement: weights end in the slots that the map names, on local and Gloo ranks") {
  for (const Wire wire : wires()) {
    const auto outcomes =
        run_world({wire, 3}, [](Communicator& world) { return rearranged(three_ranks, world); });
    CHECK(all_experts(outcomes) == three_ranks.after);
    for (const auto& outcome : outcomes) {
      CHECK(outcome.value->map == three_ranks.after);
      CHECK(outcome.value->refusing.empty());
      CHECK(outcome.value->version == 1);
    }
  }
}

TEST_CASE("rearrangement: one rank and a map that stays are rearranged without a move") {
  const auto alone = run_world({Wire::local, 1}, [](Communicator& world) {
    return rearranged({{0, 1, 0}, {1, 1, 0}, 2}, world);
  });
  CHECK(all_experts(alone) == Ints{1, 1, 0});
  const auto same = run_world({Wire::local, 2}, [](Communicator& world) {
    return rearranged({{0, 1}, {0, 1}, 2}, world);
  });
  CHECK(all_experts(same) == Ints{0, 1});
}

TEST_CASE("rearrangement: where one rank receives a wrong byte, all keep what they had") {
  const auto outcomes = run_world({Wire::local, 3}, [](Communicator& world) {
    LyingWire lying(world);
    return rearranged(three_ranks, world.rank() == 1 ? lying : world);
  });
  CHECK(all_experts(outcomes) == three_ranks.before);
  for (const auto& outcome : outcomes) {
    CHECK(outcome.value->map == three_ranks.before);
    CHECK(outcome.value->refusing == Ints{1});
    CHECK(outcome.value->version == 0);
  }
}

TEST_CASE("rearrangement: replicas that differ are refused by the ranks that would hold them") {
  const auto outcomes = run_world({Wire::local, 2}, [](Communicator& world) {
    const Ints held = world.rank() == 0 ? Ints{0, 1} : Ints{0, 5};  // slot 3 should hold expert 1
    const auto placement =
        make_layer_placement(replica_maps({0, 1, 0, 1}, 2), weights_of(held, world.memory()));
    return rearrange(*placement, replica_maps({1, 0, 0, 0}, 2), world);
  });
  for (const auto& outcome : outcomes) CHECK(*outcome.value == Ints{0});
}

TEST_CASE("rearrangement: the loads of all ranks add up, layer by layer") {
  const auto outcomes = run_world({Wire::local, 3}, [](Communicator& world) {
    return loads_of_group({{world.rank(), 1}, {10, 0}}, world);
  });
  for (const auto& outcome : outcomes) {
    CHECK(*outcome.value == std::vector<std::vector<double>>{{3, 3}, {30, 0}});
  }
}

TEST_CASE("rearrangement: the plan gives the busy expert the redundant slots and keeps the rest") {
  const ReplicaMaps before = replica_maps(initial_physical_to_logical(4, 2), 4);
  const std::vector<double> loads = {0, 1, 1, 90, 0, 1};
  const ReplicaMaps planned = planned_maps(before, loads, {.num_physical = 6, .num_ranks = 2});
  // Rank 0 gets experts 3, 3, 0 and rank 1 gets 3, 1, 2: 0 and 3 and 1 keep their slots.
  CHECK(planned.physical_to_logical == Ints{0, 3, 3, 3, 2, 1});
}

TEST_CASE("replica router: ids become slots, tokens that count are counted, masked ones stay") {
  const auto memory = make_host_memory(Poison::on);
  const auto kernels = make_cpu_kernels(*memory);
  const auto placement = make_layer_placement(replica_maps({0, 1, 2, 0}, 3), ProbeWeights{});
  LoadWindow load(1, 4, 1);
  int num_asked = 0;
  const auto router = with_replicas(make_recorded_router(*kernels, 2),
                                    {.placement = *placement,
                                     .load = load,
                                     .counted_rows =
                                         [&] {
                                           ++num_asked;
                                           return CountsRow([](Count row) { return row < 2; });
                                         }},
                                    *memory);
  // Rows hold each id less its slot, then the weights.
  const Buffer rows =
      rows_with(*memory, {3, 4, DType::f32}, {0, 1, 1, 1, 1, -1, 1, 1, 2, -2, 1, 1});
  const RoutingBuffers chosen = router->select_experts(rows.tensor());
  CHECK(chosen.space == IdSpace::physical);
  CHECK(values_of(chosen.topk_ids.tensor()) == std::vector<double>{0, 2, 1, 3, 2, -1});
  load.end_pass();
  CHECK(load.sum() == LayerLoads{{1, 1, 1, 1}});
  CHECK(num_asked == 1);  // once for the call, not for each row
}

TEST_CASE("placed experts: what computes is made anew after a commit, and only then") {
  const auto memory = make_host_memory(Poison::on);
  const auto placement = make_layer_placement(replica_maps({0}, 1), weights_of(Ints{0}, *memory));
  class Silent final : public Experts {
   public:
    Tensor apply(Dispatched& dispatched) override { return dispatched.hidden_states; }
  };
  Ints made;
  const auto experts = make_placed_experts(
      *placement,
      [&](const ExpertWeights& weights) {
        made.push_back(experts_in(weights, 1).front());
        return std::make_unique<Silent>();
      },
      *memory);
  Dispatched dispatched;
  experts->apply(dispatched);
  experts->apply(dispatched);
  placement->commit(replica_maps({0}, 1), weights_of(Ints{7}, *memory));
  experts->apply(dispatched);
  CHECK(made == Ints{0, 7});
}
