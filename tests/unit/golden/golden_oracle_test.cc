// The C++ oracle against numbers worked out by hand from the contract in golden/oracle.py.
// The literals marked with P stand in tests/scenario/golden_python_test.py, too.

#include "golden/oracle.h"

#include <cmath>
#include <limits>

#include "kernels/base/bits.h"
#include "kernels/base/digest.h"
#include "kernels/base/mix.h"
#include "tests/catch.h"

namespace moe::golden {
namespace {

// The inputs of one cell as plain numbers.
struct Inputs {
  Count hidden_size = 0;
  Count top_k = 0;
  std::vector<float> hidden = {};
  std::vector<std::int32_t> ids = {};
  std::vector<float> weights = {};
};

std::vector<double> rows_of_experts(OracleModel model, Inputs inputs, int layer = 0) {
  const Count tokens = static_cast<Count>(inputs.hidden.size()) / inputs.hidden_size;
  const Count choices = static_cast<Count>(inputs.ids.size()) / inputs.top_k;
  model.hidden_size = inputs.hidden_size;
  return Oracle(model)
      .expected(layer, {{inputs.hidden.data(), tokens, inputs.hidden_size, DType::f32},
                        {inputs.ids.data(), choices, inputs.top_k, DType::i32},
                        {inputs.weights.data(), choices, inputs.top_k, DType::f32}})
      .values;
}

// Signs of seed 1, columns 0 to 3: e0 - - - +, e1 - + - +, e2 + + + -, e3 - + - +.
const OracleModel probe{.kernel = ExpertKernel::probe, .seed = 1, .num_experts = 2};

}  // namespace

TEST_CASE("mix: the numbers are those of the contract") {
  CHECK(splitmix64(0) == 0xE220A8397B1DCDAF);                   // P, also published with splitmix64
  CHECK(splitmix64(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4);  // P, its second number
  CHECK(mix(1) == 0x910A2DEC89025CC1);                          // P
  CHECK(mix(1, 1, 0, 0, 0) == 0x0B55DCAB4E1ED522);              // P
  CHECK(mix(7, 3, 2) == 0x09473A693C473A79);                    // P
  CHECK(mix(0xFFFFFFFFFFFFFFFF, Count{1} << 40, 5) == 0x036BE17769E4B409);  // P
}

TEST_CASE("oracle: probes sum weight times sign times input over the choices") {
  const std::vector<double> rows = rows_of_experts(probe, {.hidden_size = 4,
                                                           .top_k = 2,
                                                           .hidden = {3, -8, 0, 5, 1, 2, 3, 4},
                                                           .ids = {0, 1, 1, 0},
                                                           .weights = {2, 1, 2, 1}});
  CHECK(rows == std::vector<double>{-9, 8, 0, 15, -3, 2, -9, 12});
}

TEST_CASE("oracle: masked choices count for nothing, whatever their weight") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> rows = rows_of_experts(probe, {.hidden_size = 4,
                                                           .top_k = 2,
                                                           .hidden = {1, 2, 3, 4, 1, 2, 3, 4},
                                                           .ids = {-1, 1, -1, -1},
                                                           .weights = {7, 2, nan, 1}});
  CHECK(rows == std::vector<double>{-2, 4, -6, 8, 0, 0, 0, 0});
}

TEST_CASE("oracle: experts count over layers") {
  const std::vector<double> rows = rows_of_experts(probe,
                                                   {.hidden_size = 4,
                                                    .top_k = 1,
                                                    .hidden = {1, 2, 3, 4, 1, 2, 3, 4},
                                                    .ids = {0, 1},
                                                    .weights = {1, 1}},
                                                   1);
  CHECK(rows == std::vector<double>{1, 2, 3, -4, -1, 2, -3, 4});
}

// e0: W2 takes column h from intermediates 2 1 0 2, W13 those from columns 2 0 2: in all 2 0 2 2.
// e1: 1 2 1 1 and 1 2 3: in all 2 3 2 2.
TEST_CASE("oracle: exact_gemm goes through one-hot rows and relu squared") {
  const OracleModel gemm{
      .kernel = ExpertKernel::exact_gemm, .seed = 1, .num_experts = 2, .intermediate_size = 3};
  const std::vector<double> rows = rows_of_experts(gemm, {.hidden_size = 4,
                                                          .top_k = 2,
                                                          .hidden = {2, 0, 1, 2, -2, 3, 1, -1},
                                                          .ids = {0, 1, -1, 0},
                                                          .weights = {2, 1, 1, 1}});
  CHECK(rows == std::vector<double>{-3, -4, -3, 3, -1, 0, -1, 1});
}

TEST_CASE("oracle: zero is +0 whatever the signs of its terms") {
  const std::vector<double> rows = rows_of_experts(
      probe, {.hidden_size = 1, .top_k = 1, .hidden = {0}, .ids = {0}, .weights = {1}});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0] == 0);
  CHECK_FALSE(std::signbit(rows[0]));
}

TEST_CASE("oracle: no tokens make no rows") {
  CHECK(rows_of_experts(probe, {.hidden_size = 4, .top_k = 2}).empty());
}

TEST_CASE("oracle: a NaN in the input is a NaN in the row") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  OracleModel gemm = probe;
  gemm.kernel = ExpertKernel::exact_gemm;
  gemm.intermediate_size = 3;
  for (const OracleModel& experts : {probe, gemm}) {
    const std::vector<double> rows = rows_of_experts(
        experts, {.hidden_size = 1, .top_k = 1, .hidden = {nan}, .ids = {1}, .weights = {1}});
    CHECK(std::isnan(rows.at(0)));
  }
}

TEST_CASE("oracle: refuses experts that do not exist and shapes that do not fit") {
  const Inputs good{.hidden_size = 1, .top_k = 1, .hidden = {1}, .ids = {1}, .weights = {1}};
  Inputs bad = good;
  bad.ids = {2};
  CHECK_THROWS_WITH(rows_of_experts(probe, bad), Catch::Contains("token 0 chose expert 2 of 2"));
  bad.ids = {-2};
  CHECK_THROWS_AS(rows_of_experts(probe, bad), ContractError);
  bad.ids = {0, 1};
  CHECK_THROWS_WITH(rows_of_experts(probe, bad), Catch::Contains("topk_ids [2, 1]"));
  OracleModel gemm = probe;
  gemm.kernel = ExpertKernel::exact_gemm;
  CHECK_THROWS_WITH(rows_of_experts(gemm, good), Catch::Contains("intermediate_size 0"));
}

TEST_CASE("oracle: rows are read from every floating type") {
  std::vector<BFloat16> bf16 = {to_bfloat16(1), to_bfloat16(-2), to_bfloat16(3)};
  std::vector<Float16> f16 = {to_float16(1), to_float16(-2), to_float16(3)};
  std::vector<double> f64 = {1, -2, 3};
  std::vector<std::int32_t> i32 = {1, -2, 3};
  std::vector<double> values(1);
  for (const Tensor& tensor :
       {Tensor{bf16.data(), 3, 1, DType::bf16}, Tensor{f16.data(), 3, 1, DType::f16},
        Tensor{f64.data(), 3, 1, DType::f64}}) {
    read_row(tensor, 1, values);
    CHECK(values[0] == -2);
  }
  CHECK_THROWS_WITH(read_row({i32.data(), 3, 1, DType::i32}, 1, values), Catch::Contains("i32"));
}

// Columns 0 to 3 of the shared expert of seed 1, layer 0, have the signs + + - -.
TEST_CASE("oracle: scale, shared expert and a weight on the input") {
  const Inputs one{
      .hidden_size = 4, .top_k = 1, .hidden = {1, 2, 1, 2}, .ids = {0}, .weights = {2}};
  std::vector<int> shared_signs;
  for (int h = 0; h < 4; ++h) shared_signs.push_back(mix(1, 12, 0, h) % 2 == 0 ? 1 : -1);
  OracleModel model = probe;
  model.scale = 2.5;
  CHECK(rows_of_experts(model, one) == std::vector<double>{-5, -10, -5, 10});
  model.num_shared_experts = 2;
  std::vector<double> with_shared = {-5, -10, -5, 10};
  for (std::size_t h = 0; h < 4; ++h) {
    with_shared[h] += static_cast<double>(one.hidden[h]) * shared_signs[h];
  }
  CHECK(rows_of_experts(model, one) == with_shared);
  OracleModel gemm{
      .kernel = ExpertKernel::exact_gemm, .seed = 1, .num_experts = 2, .intermediate_size = 3};
  const std::vector<double> after = rows_of_experts(gemm, one);
  gemm.router_weight_on_input = true;
  const std::vector<double> before = rows_of_experts(gemm, one);  // (2 x)² and not 2 x²
  for (std::size_t h = 0; h < 4; ++h) CHECK(before[h] == 2 * after[h]);
}

// 16 tokens of 20 columns, 3 of 5 experts, some masked; inputs and weights from mix.
TEST_CASE("oracle: a pinned world has the digest that the Python test works out in loops") {
  for (const ExpertKernel kernel : {ExpertKernel::probe, ExpertKernel::exact_gemm}) {
    const bool is_probe = kernel == ExpertKernel::probe;
    Inputs inputs{.hidden_size = 20, .top_k = 3};
    for (int t = 0; t < 16; ++t) {
      for (int column = 0; column < 20; ++column) {
        const std::uint64_t u = mix(11, 1, 2, t, column);
        inputs.hidden.push_back(is_probe ? static_cast<float>(u % 17) - 8.0F
                                         : static_cast<float>(u % 3));
      }
      for (int slot = 0; slot < 3; ++slot) {
        inputs.ids.push_back((t + 2 * slot) % 7 == 0 ? -1 : (t + slot) % 5);
        inputs.weights.push_back(1.0F + static_cast<float>(mix(11, 2, 2, t, slot) & 1));
      }
    }
    std::vector<BFloat16> out;
    for (const double value : rows_of_experts(
             {.kernel = kernel, .seed = 11, .num_experts = 5, .intermediate_size = 7}, inputs, 2)) {
      out.push_back(to_bfloat16(static_cast<float>(value)));
    }
    const std::uint64_t pinned = is_probe ? 0xA82AA15BFD565A8E : 0xAA08B45C1A6A69EF;  // P
    CHECK(digest_of(std::as_bytes(std::span(out))) == pinned);
  }
}

}  // namespace moe::golden
