// DPMetadata: what a step's forward context knows of all DP ranks (vLLM: forward_context.py;
// distribution-layer.md, 4). Sizes of a dispatch are there only inside their scope.

#pragma once

#include <optional>
#include <vector>

#include "backends/engine/batch_coordination.h"

namespace moe {

// Which rows of a chunked call: chunk k of M rows each, tokens split sp ways.
struct DpChunk {
  int sp = 1;
  Count rows_max = 256;
  int number = 0;
};

// Legacy: min(M, sizes - M * k), and 1 where nothing is left, since a finished rank runs a row.
std::vector<Count> dp_chunk_sizes(RowCounts num_tokens_across_dp, const DpChunk& chunk);
// How many chunks all ranks run.
int num_dp_chunks(RowCounts num_tokens_across_dp, int sp, Count rows_max);

class DPMetadata {
 public:
  // REQUIRES more than one DP rank, and that this rank's count is what it executes; ContractError
  // otherwise, as vLLM asserts.
  DPMetadata(RowCounts num_tokens_across_dp, int dp_rank, Count num_tokens);

  RowCounts num_tokens_across_dp() const { return num_tokens_across_dp_; }
  Count max_tokens_across_dp() const;  // removed by #39107
  // Inclusive sums over the ranks of DP x sp.
  std::vector<Count> cu_tokens_across_sp(int sp) const;

  // Sets local_sizes until it goes out of scope, also where an exception leaves it.
  class SizesScope {
   public:
    SizesScope(DPMetadata& metadata, std::vector<Count> sizes);
    ~SizesScope();
    SizesScope(const SizesScope&) = delete;
    SizesScope& operator=(const SizesScope&) = delete;

   private:
    DPMetadata& metadata_;
  };
  // Scopes do not nest: ContractError.
  [[nodiscard]] SizesScope sp_local_sizes(int sp);
  [[nodiscard]] SizesScope chunked_sizes(const DpChunk& chunk);

  const std::optional<std::vector<Count>>& local_sizes() const { return local_sizes_; }
  // The name outlived the chunks. ContractError outside of a scope.
  const std::vector<Count>& get_chunk_sizes_across_dp_rank() const;

 private:
  std::vector<Count> num_tokens_across_dp_;
  std::optional<std::vector<Count>> local_sizes_;
};

}  // namespace moe
