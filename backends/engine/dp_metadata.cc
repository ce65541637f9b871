// Sizes follow from counts alone, so all ranks agree without a word.
// Scopes are values: nothing has to be reset by hand.

#include "backends/engine/dp_metadata.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "backends/parallel/parallel_config.h"
#include "kernels/base/check.h"
#include "kernels/base/text.h"

namespace moe {

std::vector<Count> dp_chunk_sizes(RowCounts num_tokens_across_dp, const DpChunk& chunk) {
  std::vector<Count> sizes = sp_sizes(num_tokens_across_dp, chunk.sp);
  for (Count& size : sizes) {
    size = std::max<Count>(std::min(chunk.rows_max, size - chunk.rows_max * chunk.number), 1);
  }
  return sizes;
}

int num_dp_chunks(RowCounts num_tokens_across_dp, int sp, Count rows_max) {
  const std::vector<Count> sizes = sp_sizes(num_tokens_across_dp, sp);
  return static_cast<int>((std::ranges::max(sizes) + rows_max - 1) / rows_max);
}

DPMetadata::DPMetadata(RowCounts num_tokens_across_dp, int dp_rank, Count num_tokens)
    : num_tokens_across_dp_(num_tokens_across_dp.begin(), num_tokens_across_dp.end()) {
  MOE_CHECK(num_tokens_across_dp_.size() > 1,
            text(num_tokens_across_dp_.size(), " DP ranks: metadata are for more than one"));
  const Count said = num_tokens_across_dp_.at(static_cast<std::size_t>(dp_rank));
  MOE_CHECK(said == num_tokens, text("DP rank ", dp_rank, " executes ", num_tokens,
                                     " tokens, the ranks agreed on ", said));
}

Count DPMetadata::max_tokens_across_dp() const { return std::ranges::max(num_tokens_across_dp_); }

std::vector<Count> DPMetadata::cu_tokens_across_sp(int sp) const {
  std::vector<Count> sums = sp_sizes(num_tokens_across_dp_, sp);
  std::partial_sum(sums.begin(), sums.end(), sums.begin());
  return sums;
}

DPMetadata::SizesScope::SizesScope(DPMetadata& metadata, std::vector<Count> sizes)
    : metadata_(metadata) {
  MOE_CHECK(!metadata.local_sizes_, "local_sizes are set already: scopes do not nest");
  metadata.local_sizes_ = std::move(sizes);
}

DPMetadata::SizesScope::~SizesScope() { metadata_.local_sizes_.reset(); }

DPMetadata::SizesScope DPMetadata::sp_local_sizes(int sp) {
  return {*this, sp_sizes(num_tokens_across_dp_, sp)};
}

DPMetadata::SizesScope DPMetadata::chunked_sizes(const DpChunk& chunk) {
  return {*this, dp_chunk_sizes(num_tokens_across_dp_, chunk)};
}

const std::vector<Count>& DPMetadata::get_chunk_sizes_across_dp_rank() const {
  MOE_CHECK(local_sizes_, "no local_sizes outside of sp_local_sizes and chunked_sizes");
  return *local_sizes_;
}

}  // namespace moe
