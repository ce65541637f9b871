// Block alignment on the host: a stable counting sort whose experts start at multiples of the block
// (vLLM: csrc/moe/moe_align_sum_kernels.cu, without its races and its reads before the array).

#include <algorithm>
#include <vector>

#include "kernels/base/text.h"
#include "kernels/cpu/cpu_operators.h"

namespace moe::cpu {
namespace {

// Writes the blocks of experts one after the other.
class BlockWriter {
 public:
  BlockWriter(const AlignedBlocks& blocks, int block_size, std::int32_t nothing)
      : sorted_(elements_of<std::int32_t>(blocks.sorted_token_ids)),
        expert_ids_(elements_of<std::int32_t>(blocks.expert_ids)),
        post_pad_(elements_of<std::int32_t>(blocks.num_tokens_post_pad)),
        block_(static_cast<std::size_t>(block_size)) {
    std::ranges::fill(sorted_, nothing);
    std::ranges::fill(expert_ids_, -1);
    post_pad_[0] = 0;
  }

  void expert(std::int32_t id, std::span<const std::int32_t> places) {
    std::ranges::copy(places, sorted_.subspan(end_).begin());
    const std::size_t blocks = (places.size() + block_ - 1) / block_;
    std::ranges::fill(expert_ids_.subspan(end_ / block_, blocks), id);
    end_ += blocks * block_;
    post_pad_[0] = static_cast<std::int32_t>(end_);
  }

 private:
  std::span<std::int32_t> sorted_;
  std::span<std::int32_t> expert_ids_;
  std::span<std::int32_t> post_pad_;
  std::size_t block_;
  std::size_t end_ = 0;
};

}  // namespace

// A masked choice, -1, takes no place: upstream's kernels read outside their counters with it
// (experts-and-oracles.md, trap 7). An id that no expert has is ours to refuse.
void moe_align_block_size(const Tensor& topk_ids, const Tensor& expert_map,
                          const BlockAlignSettings& settings, const AlignedBlocks& blocks) {
  const auto ids = elements_of<std::int32_t>(topk_ids);
  std::vector<std::vector<std::int32_t>> places(static_cast<std::size_t>(settings.num_experts));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0) continue;
    MOE_CHECK(ids[i] < settings.num_experts, text("expert ", ids[i], " of ", settings.num_experts));
    places[static_cast<std::size_t>(ids[i])].push_back(static_cast<std::int32_t>(i));
  }
  BlockWriter writer(blocks, settings.block_size, static_cast<std::int32_t>(ids.size()));
  for (std::size_t expert = 0; expert < places.size(); ++expert) {
    const std::int32_t local = expert_map.columns == 0
                                   ? static_cast<std::int32_t>(expert)
                                   : elements_of<std::int32_t>(expert_map)[expert];
    if (local < 0 && settings.foreign_experts == ForeignExperts::dropped) continue;
    writer.expert(local, places[expert]);
  }
}

void batched_moe_align_block_size(const Tensor& expert_num_tokens, Count capacity, int block_size,
                                  const AlignedBlocks& blocks) {
  const auto counts = elements_of<std::int32_t>(expert_num_tokens);
  BlockWriter writer(blocks, block_size,
                     static_cast<std::int32_t>(expert_num_tokens.rows * capacity));
  std::vector<std::int32_t> places;
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    MOE_CHECK(
        counts[expert] >= 0 && counts[expert] <= capacity,
        text("expert ", expert, " has ", counts[expert], " rows, the capacity is ", capacity));
    places.clear();
    for (std::int32_t slot = 0; slot < counts[expert]; ++slot) {
      places.push_back(static_cast<std::int32_t>(static_cast<Count>(expert) * capacity) + slot);
    }
    writer.expert(static_cast<std::int32_t>(expert), places);
  }
}

}  // namespace moe::cpu
