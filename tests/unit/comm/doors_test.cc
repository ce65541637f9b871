// The public doors refuse what does not fit before a byte moves: ContractError with the values, and
// the communicator goes on working.

#include "tests/catch.h"
#include "tests/unit/comm/ranks.h"

namespace moe::test {
namespace {

using Catch::Matchers::Contains;

struct Lone {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  LocalGroup group{1, milliseconds(1000)};
  std::unique_ptr<Communicator> communicator = group.communicator(0, *memory);
};

}  // namespace

TEST_CASE("doors: counts and shapes that do not fit are refused") {
  const Lone lone;
  Communicator& group = *lone.communicator;
  const Buffer two(*lone.memory, {2, 4, DType::f32});
  const Buffer three(*lone.memory, {3, 4, DType::f32});
  const Buffer wide(*lone.memory, {2, 5, DType::f32});
  const Buffer whole(*lone.memory, {2, 4, DType::i32});
  const Tensors rows = one(two.tensor());
  const Counts counts = {2};

  CHECK_THROWS_WITH(group.all_gather_v(rows, Counts{2, 0}, rows),
                    Contains("2 entries for 1 ranks"));
  CHECK_THROWS_WITH(group.all_gather_v(rows, Counts{-1}, rows), Contains("negative"));
  CHECK_THROWS_WITH(group.all_gather_v({}, counts, {}), Contains("no tensors"));
  CHECK_THROWS_WITH(group.all_gather_v(rows, counts, {}), Contains("no tensors"));
  CHECK_THROWS_WITH(group.all_gather_v(one(three.tensor()), counts, rows), Contains("[3, 4] f32"));
  CHECK_THROWS_WITH(group.all_gather_v(rows, counts, one(three.tensor())), Contains("[3, 4] f32"));
  CHECK_THROWS_WITH(group.all_gather_v(rows, counts, one(wide.tensor())), Contains("[2, 5] f32"));
  CHECK_THROWS_WITH(group.all_gather_v(rows, counts, one(whole.tensor())), Contains("[2, 4] i32"));
  const Tensor list[] = {two.tensor(), two.tensor()};
  CHECK_THROWS_WITH(group.all_gather_v(list, counts, rows), Contains("a list of 2 tensors"));
  CHECK_THROWS_WITH(group.all_to_all_v(rows, counts, Counts{3}, one(three.tensor())),
                    Contains("sends itself 2 rows and expects 3"));
  CHECK_THROWS_WITH(group.reduce_scatter_v(whole.tensor(), counts, whole.tensor()),
                    Contains("i32 cannot be summed"));
  CHECK_THROWS_AS(group.all_gather_v(rows, Counts{3}, rows), ContractError);
  CHECK_NOTHROW(group.all_gather_v(rows, counts, rows));
}

TEST_CASE("doors: ranks, types, devices and memory that are not there are refused") {
  const Lone lone;
  Communicator& group = *lone.communicator;
  const Buffer two(*lone.memory, {2, 4, DType::f32});
  const Tensors rows = one(two.tensor());

  CHECK_THROWS_WITH(group.broadcast(rows, 1), Contains("broadcast from rank 1 of a group of 1"));
  CHECK_THROWS_WITH(group.broadcast(rows, -1), Contains("rank -1"));
  CHECK_THROWS_WITH(group.send(rows, 0), Contains("sends to itself"));
  CHECK_THROWS_WITH(group.recv(rows, 0), Contains("receives from itself"));
  CHECK_THROWS_WITH(group.send(rows, 3), Contains("rank 3"));
  CHECK_THROWS_WITH(group.all_reduce(two.tensor(), ReduceOp::bitwise_or, two.tensor()),
                    Contains("f32 cannot be reduced by bitwise_or"));
  Tensor elsewhere = two.tensor();
  elsewhere.device = {DeviceKind::cuda, 1};
  CHECK_THROWS_WITH(group.broadcast(one(elsewhere), 0), Contains("cuda"));
  Tensor nowhere = two.tensor();
  nowhere.data = nullptr;
  CHECK_THROWS_WITH(group.broadcast(one(nowhere), 0), Contains("without memory"));
  nowhere.rows = 0;
  CHECK_NOTHROW(group.broadcast(one(nowhere), 0));
}

TEST_CASE("doors: which types each reduction takes") {
  const Lone lone;
  const std::vector<DType> sums = {DType::f64, DType::f32, DType::bf16,
                                   DType::f16, DType::i32, DType::i64};
  const std::vector<DType> maxima = {DType::f32, DType::i32, DType::i64};
  const std::vector<DType> unions = {DType::i8, DType::i16, DType::i32, DType::i64, DType::u8};
  const auto takes = [&](ReduceOp op, DType dtype) {
    const Buffer zero(*lone.memory, {1, 1, dtype});
    return outcome_of<bool>([&] {
             lone.communicator->all_reduce(zero.tensor(), op, zero.tensor());
             return true;
           })
        .kind.empty();
  };
  for (const DType dtype : all_dtypes) {
    CAPTURE(moe::name_of(dtype));
    CHECK(takes(ReduceOp::sum, dtype) == (std::ranges::count(sums, dtype) == 1));
    CHECK(takes(ReduceOp::max, dtype) == (std::ranges::count(maxima, dtype) == 1));
    CHECK(takes(ReduceOp::bitwise_or, dtype) == (std::ranges::count(unions, dtype) == 1));
  }
}

TEST_CASE("doors: a world of no ranks and a rank of no world are refused") {
  const auto memory = make_host_memory(Poison::on);
  CHECK_THROWS_AS(LocalGroup(0, milliseconds(100)), ContractError);
  LocalGroup group(2, milliseconds(100));
  CHECK_THROWS_AS(group.communicator(2, *memory), ContractError);
  const auto taken = group.communicator(0, *memory);
  CHECK_THROWS_WITH(group.communicator(0, *memory), Contains("taken twice"));
}

}  // namespace moe::test
