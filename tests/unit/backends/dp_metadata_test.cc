// DPMetadata with the page's goldens: sizes under sequence parallelism, chunks, and scopes that
// leave nothing behind (I24).

#include "backends/engine/dp_metadata.h"

#include <stdexcept>

#include "backends/parallel/parallel_config.h"
#include "kernels/base/check.h"
#include "tests/catch.h"

using namespace moe;

namespace {

using Counts = std::vector<Count>;

Counts chunk(const Counts& tokens, int sp, Count rows_max, int number) {
  return dp_chunk_sizes(tokens, {sp, rows_max, number});
}

}  // namespace

TEST_CASE("sp sizes: the page's goldens") {
  CHECK(sp_sizes(Counts{7, 4}, 2) == Counts{4, 4, 2, 2});
  CHECK(sp_sizes(Counts{1, 5, 0}, 4) == Counts{1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0});
  CHECK(sp_sizes(Counts{3}, 4) == Counts{1, 1, 1, 1});
  CHECK(sp_sizes(Counts{500, 200, 256}, 2) == Counts{250, 250, 100, 100, 128, 128});
  CHECK(DPMetadata(Counts{7, 4}, 0, 7).cu_tokens_across_sp(2) == Counts{4, 8, 10, 12});
}

TEST_CASE("dp chunk sizes: the page's goldens") {
  CHECK(chunk({500, 200, 256}, 1, 256, 0) == Counts{256, 200, 256});
  CHECK(chunk({500, 200, 256}, 1, 256, 1) == Counts{244, 1, 1});
  CHECK(chunk({700, 1, 513}, 1, 256, 0) == Counts{256, 1, 256});
  CHECK(chunk({700, 1, 513}, 1, 256, 1) == Counts{256, 1, 256});
  CHECK(chunk({700, 1, 513}, 1, 256, 2) == Counts{188, 1, 1});
  CHECK(chunk({500, 200, 256}, 2, 100, 0) == Counts{100, 100, 100, 100, 100, 100});
  CHECK(chunk({500, 200, 256}, 2, 100, 1) == Counts{100, 100, 1, 1, 28, 28});
  CHECK(chunk({500, 200, 256}, 2, 100, 2) == Counts{50, 50, 1, 1, 1, 1});
  CHECK(chunk({0, 5}, 1, 256, 0) == Counts{1, 5});
}

TEST_CASE("dp chunks: every rank runs as many as the largest needs") {
  CHECK(num_dp_chunks(Counts{500, 200, 256}, 1, 256) == 2);
  CHECK(num_dp_chunks(Counts{700, 1, 513}, 1, 256) == 3);
  CHECK(num_dp_chunks(Counts{500, 200, 256}, 2, 100) == 3);
  CHECK(num_dp_chunks(Counts{256, 0}, 1, 256) == 1);
  CHECK(num_dp_chunks(Counts{0, 0}, 1, 256) == 0);
}

TEST_CASE("DPMetadata: what it asserts when it is made") {
  CHECK_THROWS_AS(DPMetadata(Counts{5}, 0, 5), ContractError);
  CHECK_THROWS_WITH(DPMetadata(Counts{5, 3}, 1, 2),
                    Catch::Contains("DP rank 1 executes 2 tokens, the ranks agreed on 3"));
  CHECK(DPMetadata(Counts{5, 3}, 1, 3).max_tokens_across_dp() == 5);
}

TEST_CASE("I24: DPMetadata: local sizes are there inside their scope only, and do not nest") {
  DPMetadata metadata(Counts{7, 4}, 0, 7);
  CHECK(!metadata.local_sizes());
  CHECK_THROWS_AS(metadata.get_chunk_sizes_across_dp_rank(), ContractError);
  {
    const auto scope = metadata.sp_local_sizes(2);
    CHECK(metadata.get_chunk_sizes_across_dp_rank() == Counts{4, 4, 2, 2});
    CHECK_THROWS_WITH(metadata.sp_local_sizes(1), Catch::Contains("scopes do not nest"));
    CHECK(metadata.local_sizes() == Counts{4, 4, 2, 2});
  }
  CHECK(!metadata.local_sizes());
  {
    const auto scope = metadata.chunked_sizes({1, 4, 1});
    CHECK(metadata.local_sizes() == Counts{3, 1});
  }
  try {
    const auto scope = metadata.sp_local_sizes(1);
    throw std::runtime_error("a layer failed");
  } catch (const std::runtime_error&) {
  }
  CHECK(!metadata.local_sizes());
}
