// add_rows: the order of the list, fp32 inside, one rounding. The cases tell orders and roundings
// apart. Numbers are written out by hand.

#include <vector>

#include "kernels/base/bits.h"
#include "kernels/base/buffer.h"
#include "tests/catch.h"

using namespace moe;

namespace {

template <typename T>
Tensor row(std::vector<T>& values) {
  return {values.data(), 1, static_cast<Count>(values.size()), dtype_for<T>(), {}};
}

}  // namespace

TEST_CASE("add_rows: the order of the operands decides the bits") {
  const auto memory = make_host_memory(Poison::on);
  std::vector<float> large{1e8F};
  std::vector<float> one{1.0F};
  std::vector<float> minus{-1e8F};
  std::vector<float> out{0.0F};
  memory->add_rows(std::vector{row(large), row(one), row(minus)}, row(out));
  CHECK(out[0] == 0.0F);  // 1e8 + 1 is 1e8 in fp32
  memory->add_rows(std::vector{row(large), row(minus), row(one)}, row(out));
  CHECK(out[0] == 1.0F);
}

TEST_CASE("add_rows: bf16 rows are rounded once, at the end") {
  const auto memory = make_host_memory(Poison::on);
  // 256 + 0.75 + 0.75: a rounding after each step stays at 256, one at the end gives 258.
  std::vector<BFloat16> a{to_bfloat16(256.0F)};
  std::vector<BFloat16> b{to_bfloat16(0.75F)};
  std::vector<BFloat16> c{to_bfloat16(0.75F)};
  std::vector<BFloat16> out(1);
  memory->add_rows(std::vector{row(a), row(b), row(c)}, row(out));
  CHECK(to_float(out[0]) == 258.0F);
}

TEST_CASE("add_rows: may write over an operand, and handles rows longer than a tile") {
  const auto memory = make_host_memory(Poison::on);
  std::vector<float> a(2500, 1.5F);
  std::vector<float> b(2500, 2.0F);
  memory->add_rows(std::vector{row(a), row(b)}, row(a));
  CHECK(a == std::vector<float>(2500, 3.5F));
}

TEST_CASE("memory: shapes that differ and types that cannot be added are refused") {
  const auto memory = make_host_memory(Poison::on);
  std::vector<float> a(2);
  std::vector<float> b(3);
  std::vector<std::int32_t> ids(2);
  CHECK_THROWS_AS(memory->copy(row(a), row(b)), ContractError);
  CHECK_THROWS_AS(memory->add_rows(std::vector{row(a)}, row(b)), ContractError);
  CHECK_THROWS_AS(memory->add_rows(std::vector{row(ids)}, row(ids)), ContractError);
  CHECK_THROWS_AS(memory->add_rows({}, row(a)), ContractError);
}

TEST_CASE("memory: fill repeats a word over any number of bytes") {
  const auto memory = make_host_memory(Poison::on);
  std::vector<std::uint8_t> bytes(7, 0);
  memory->fill(row(bytes), 0x44332211U);
  CHECK(bytes == std::vector<std::uint8_t>{0x11, 0x22, 0x33, 0x44, 0x11, 0x22, 0x33});
}
