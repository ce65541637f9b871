// Dispatch and combine in line: the list that travels and its order, extras that travel and extras
// that stay, counts that do not fit. And tokens shared out over a group and gathered again.

#include "backends/all2all_manager.h"

#include "backends/parallel/token_share.h"
#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"
#include "tests/unit/kernels/host_rows.h"

using namespace moe;
using namespace moe::test;

namespace {

// Notes the list that a dispatch moves.
class NotedList final : public Communicator {
 public:
  NotedList(Communicator& inner, std::vector<std::string>& list) : inner_(inner), list_(list) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  Memory& memory() override { return inner_.memory(); }

 private:
  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    for (const Tensor& tensor : rows) list_.push_back(shape_text(tensor));
    inner_.all_gather_v(rows, rows_per_rank, gathered);
  }
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    inner_.reduce_scatter_v(rows, rows_per_rank, own);
  }
  void do_all_to_all_v(Tensors, RowCounts, RowCounts, Tensors) override { refuse(); }
  void do_broadcast(Tensors, int) override { refuse(); }
  void do_all_reduce(const Tensor&, ReduceOp, const Tensor&) override { refuse(); }
  void do_send(Tensors, int) override { refuse(); }
  void do_recv(Tensors, int) override { refuse(); }
  void do_barrier() override { refuse(); }
  std::unique_ptr<Communicator> do_split(int, int) override {
    refuse();
    return nullptr;
  }
  static void refuse() { MOE_CHECK(false, "an operation that no dispatch needs"); }

  Communicator& inner_;
  std::vector<std::string>& list_;
};

// What one rank sends: rank + 1 rows, each number telling rank, row and column.
struct Sent {
  explicit Sent(Communicator& group)
      : tokens({1, 2}),
        hidden(rows_of_rank(group, 3, DType::bf16, 0)),
        weights(rows_of_rank(group, 2, DType::f32, 50)),
        ids(rows_of_rank(group, 2, DType::i32, 70)),
        scales(rows_of_rank(group, 1, DType::f32, 90)) {}

  static Buffer rows_of_rank(Communicator& group, Count columns, DType dtype, int base) {
    std::vector<double> values;
    for (Count i = 0; i < (group.rank() + 1) * columns; ++i) {
      values.push_back(static_cast<double>(base + group.rank() * 10 + i));
    }
    return rows_with(group.memory(), {group.rank() + 1, columns, dtype}, values);
  }

  Routing routing() const { return {ids.tensor(), weights.tensor()}; }

  std::vector<Count> tokens;
  Buffer hidden, weights, ids, scales;
};

}  // namespace

TEST_CASE("all2all manager: hidden states, weights and ids travel in this order, extras after") {
  const auto outcomes = run_world({Wire::local, 2}, [](Communicator& world) {
    std::vector<std::string> list;
    NotedList noted(world, list);
    const auto manager = make_all_gather_manager(noted);
    const Sent sent(world);
    const Buffer one_scale = rows_with(world.memory(), {1, 1, DType::f32}, {0.25});
    const std::vector<Extra> extras = {{one_scale.tensor(), ExtraShape::zero_dimensional},
                                       {sent.scales.tensor()}};
    const Dispatched got =
        manager->dispatch(sent.hidden.tensor(), sent.routing(), extras, sent.tokens);
    const bool stays = got.extras[0].data == one_scale.tensor().data;
    std::vector<double> all = values_of(got.extras[1]);
    for (const Tensor& tensor :
         {got.hidden_states, got.routing.topk_weights, got.routing.topk_ids}) {
      const std::vector<double> values = values_of(tensor);
      all.insert(all.end(), values.begin(), values.end());
    }
    all.push_back(stays && got.extras.size() == 2 && got.routing.is_selected() ? 1 : 0);
    return std::pair(all, list);
  });
  CHECK(outcomes[1].value->second ==
        std::vector<std::string>{"[2, 3] bf16 on cpu", "[2, 2] f32 on cpu", "[2, 2] i32 on cpu",
                                 "[2, 1] f32 on cpu"});
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(outcome.value->first == std::vector<double>{90, 100, 101,                          //
                                                      0,  1,   2,   10, 11, 12, 13, 14, 15,  //
                                                      50, 51,  60,  61, 62, 63,              //
                                                      70, 71,  80,  81, 82, 83, 1});
  }
}

TEST_CASE("all2all manager: router logits take the place of weights and ids") {
  const auto outcomes = run_world({Wire::local, 2}, [](Communicator& world) {
    const auto manager = make_all_gather_manager(world);
    const Sent sent(world);
    const std::vector<Extra> extras = {{sent.scales.tensor()}};
    const Dispatched got = manager->dispatch_router_logits(
        sent.hidden.tensor(), sent.weights.tensor(), extras, sent.tokens);
    MOE_CHECK(!got.routing.is_selected() && got.routing.topk_ids.data == nullptr, "selected");
    std::vector<double> all = values_of(got.routing.router_logits);
    for (const double scale : values_of(got.extras.at(0))) all.push_back(scale);
    return all;
  });
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.error == "");
    CHECK(*outcome.value == std::vector<double>{50, 51, 60, 61, 62, 63, 90, 100, 101});
  }
}

TEST_CASE("all2all manager: combine sums the ranks' parts for each rank's rows") {
  const auto outcomes = run_world({Wire::local, 2}, [](Communicator& world) {
    const auto manager = make_all_gather_manager(world);
    const double of = 100.0 * (world.rank() + 1);
    const Buffer partial =
        rows_with(world.memory(), {3, 2, DType::f32}, {of, 1, of + 1, 2, of + 2, 3});
    const Buffer own(world.memory(), {world.rank() + 1, 2, DType::f32});
    manager->combine(partial.tensor(), std::vector<Count>{1, 2}, own.tensor());
    return values_of(own.tensor());
  });
  CHECK(*outcomes[0].value == std::vector<double>{300, 2});
  CHECK(*outcomes[1].value == std::vector<double>{302, 4, 304, 6});
}

TEST_CASE("all2all manager: counts that do not fit the rows are refused") {
  const auto outcomes = run_world({Wire::local, 2}, [](Communicator& world) {
    const auto manager = make_all_gather_manager(world);
    const Sent sent(world);
    const std::vector<Count> wrong = {5, 5};
    manager->dispatch(sent.hidden.tensor(), sent.routing(), {}, wrong);
    return true;
  });
  for (const auto& outcome : outcomes) {
    CHECK(outcome.kind == "ContractError");
    CHECK(contains(outcome.error, "[5, 5]"));
  }
}

TEST_CASE("token share: contiguous parts, zeros beyond the last row, and back") {
  const Count num_rows = GENERATE(0, 1, 2, 4, 7);
  const int size = GENERATE(1, 2, 3, 4);
  CAPTURE(num_rows, size);
  const auto outcomes = run_world({Wire::local, size}, [&](Communicator& group) {
    std::vector<double> values;
    for (Count i = 0; i < 2 * num_rows; ++i) values.push_back(static_cast<double>(i + 1));
    const Buffer rows = rows_with(group.memory(), {num_rows, 2, DType::f32}, values);
    const Buffer share = own_share(rows.tensor(), group);
    const Buffer back(group.memory(), {num_rows, 2, DType::f32});
    gather_shares(share.tensor(), group, back.tensor());
    MOE_CHECK(values_of(back.tensor()) == values, "the rows came back changed");
    return values_of(share.tensor());
  });
  const Count each = (num_rows + size - 1) / size;
  for (int rank = 0; rank < size; ++rank) {
    std::vector<double> expected;
    for (Count i = 2 * rank * each; i < 2 * (rank + 1) * each; ++i) {
      expected.push_back(i < 2 * num_rows ? static_cast<double>(i + 1) : 0);
    }
    REQUIRE(outcomes[static_cast<std::size_t>(rank)].error == "");
    CHECK(*outcomes[static_cast<std::size_t>(rank)].value == expected);
  }
}
