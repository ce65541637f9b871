// MF-35: output rows of a cold expert stay as the allocator left them.
// Found by POISON, and by nothing that starts from zeroed memory.

#include "backends/faulty_experts.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backends/faulty_expert_ids.h"
#include "kernels/base/bits.h"

namespace moe {
namespace {

class ColdExpertUnwrittenExperts final : public Experts {
 public:
  ColdExpertUnwrittenExperts(std::unique_ptr<Experts> inner, Memory& memory,
                             std::vector<int> expert_map, ColdExpertUnwritten fault)
      : inner_(std::move(inner)),
        memory_(memory),
        expert_map_(std::move(expert_map)),
        fault_(fault) {}

  Tensor apply(Dispatched& dispatched) override {
    const Tensor output = inner_->apply(dispatched);
    if (dispatched.routing.topk_ids.columns == 0) return with_cold_room(dispatched, output);
    const std::vector<std::int32_t> ids = ids_on_host(memory_, dispatched.routing.topk_ids);
    const int cold = fault_.expert >= 0 ? fault_.expert : coldest(ids);
    for (Count row = 0; row < output.rows; ++row) {
      if (owes(ids, row, dispatched.routing.topk_ids.columns, cold)) {
        memory_.fill(rows_of(output, row, 1), poison_word(output.dtype));
      }
    }
    return output;
  }

 private:
  // Batched: the rows of the expert with the fewest, in its room.
  Tensor with_cold_room(const Dispatched& dispatched, const Tensor& output) const {
    const std::vector<std::int32_t> counts = ids_on_host(memory_, dispatched.expert_num_tokens);
    int cold = fault_.expert >= 0 ? expert_map_[static_cast<std::size_t>(fault_.expert)] : -1;
    for (int local = 0; fault_.expert < 0 && local < std::ssize(counts); ++local) {
      const std::int32_t count = counts[static_cast<std::size_t>(local)];
      if (count == 0) continue;
      if (cold < 0 || count < counts[static_cast<std::size_t>(cold)]) cold = local;
    }
    if (cold < 0) return output;
    const Count room = output.rows / std::ssize(counts);
    memory_.fill(rows_of(output, cold * room, counts[static_cast<std::size_t>(cold)]),
                 poison_word(output.dtype));
    return output;
  }

  bool is_local(std::int32_t expert) const {
    return expert >= 0 && expert_map_[static_cast<std::size_t>(expert)] >= 0;
  }

  // The local expert with the fewest rows; -1 if it has none.
  int coldest(const std::vector<std::int32_t>& ids) const {
    std::ptrdiff_t fewest = std::numeric_limits<std::ptrdiff_t>::max();
    int cold = -1;
    for (int expert = 0; expert < static_cast<int>(expert_map_.size()); ++expert) {
      if (!is_local(expert)) continue;
      const std::ptrdiff_t num_rows = std::ranges::count(ids, expert);
      if (num_rows < fewest) {
        fewest = num_rows;
        cold = expert;
      }
    }
    return fewest == 0 ? -1 : cold;
  }

  bool owes(const std::vector<std::int32_t>& ids, Count row, Count top_k, int cold) const {
    const auto begin = ids.begin() + row * top_k;
    const auto end = begin + top_k;
    if (cold >= 0) return std::find(begin, end, cold) != end;
    return std::none_of(begin, end, [this](std::int32_t expert) { return is_local(expert); });
  }

  std::unique_ptr<Experts> inner_;
  Memory& memory_;
  std::vector<int> expert_map_;
  ColdExpertUnwritten fault_;
};

}  // namespace

std::unique_ptr<Experts> with_cold_expert_unwritten(std::unique_ptr<Experts> inner, Memory& memory,
                                                    std::vector<int> expert_map,
                                                    ColdExpertUnwritten fault) {
  return std::make_unique<ColdExpertUnwrittenExperts>(std::move(inner), memory,
                                                      std::move(expert_map), fault);
}

}  // namespace moe
