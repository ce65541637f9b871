// One decorator for maps: the healthy map answers, then its answer is changed on the host.
// The router's stands beside it.

#include "backends/faulty_expert_ids.h"

#include <functional>
#include <map>
#include <utility>

namespace moe {
namespace {

using Ids = std::vector<std::int32_t>;

// local: what the healthy map said of the global ids; to be changed.
using Lie = std::function<void(const Ids& global, Ids& local)>;

class LyingMap final : public ExpertIdMap {
 public:
  LyingMap(std::unique_ptr<ExpertIdMap> inner, Memory& memory, Lie lie)
      : inner_(std::move(inner)), memory_(memory), lie_(std::move(lie)) {}

  RoutingBuffers local_ids(const Routing& dispatched) override {
    RoutingBuffers local = inner_->local_ids(dispatched);
    Ids ids = ids_on_host(memory_, local.topk_ids.tensor());
    lie_(ids_on_host(memory_, dispatched.topk_ids), ids);
    local.topk_ids = ids_in(memory_, ids, local.topk_ids.tensor());
    return local;
  }

 private:
  std::unique_ptr<ExpertIdMap> inner_;
  Memory& memory_;
  Lie lie_;
};

std::unique_ptr<ExpertIdMap> lying(std::unique_ptr<ExpertIdMap> inner, Memory& memory, Lie lie) {
  return std::make_unique<LyingMap>(std::move(inner), memory, std::move(lie));
}

class DuplicateChoices final : public Router {
 public:
  DuplicateChoices(std::unique_ptr<Router> inner, Memory& memory)
      : inner_(std::move(inner)), memory_(memory) {}

  RoutingBuffers select_experts(const Tensor& router_logits) override {
    RoutingBuffers chosen = inner_->select_experts(router_logits);
    const Tensor& like = chosen.topk_ids.tensor();
    if (like.columns < 2) return chosen;
    Ids ids = ids_on_host(memory_, like);
    for (Count row = 0; row < like.rows; ++row) {
      const auto first = static_cast<std::size_t>(row * like.columns);
      ids[first + 1] = ids[first];
    }
    chosen.topk_ids = ids_in(memory_, ids, like);
    return chosen;
  }

 private:
  std::unique_ptr<Router> inner_;
  Memory& memory_;
};

}  // namespace

Ids ids_on_host(Memory& memory, const Tensor& ids) {
  Ids host(static_cast<std::size_t>(ids.rows * ids.columns));
  memory.copy_to_host(ids, {host.data(), ids.rows, ids.columns, DType::i32, {}});
  return host;
}

Buffer ids_in(Memory& memory, Ids& ids, const Tensor& like) {
  return copy_of({ids.data(), like.rows, like.columns, DType::i32, {}}, memory);
}

std::unique_ptr<Router> with_duplicate_choices(std::unique_ptr<Router> inner, Memory& memory) {
  return std::make_unique<DuplicateChoices>(std::move(inner), memory);
}

std::unique_ptr<ExpertIdMap> with_map_skipped(std::unique_ptr<ExpertIdMap> inner, Memory& memory,
                                              int num_local_experts) {
  return lying(std::move(inner), memory, [num_local_experts](const Ids& global, Ids& local) {
    for (std::size_t i = 0; i < local.size(); ++i) {
      local[i] = global[i] < num_local_experts ? global[i] : -1;
    }
  });
}

std::unique_ptr<ExpertIdMap> with_masked_wrapped(std::unique_ptr<ExpertIdMap> inner, Memory& memory,
                                                 int last_slot) {
  return lying(std::move(inner), memory, [last_slot](const Ids& global, Ids& local) {
    for (std::size_t i = 0; i < local.size(); ++i) {
      if (global[i] == -1) local[i] = last_slot;
    }
  });
}

std::unique_ptr<ExpertIdMap> with_first_of_block(std::unique_ptr<ExpertIdMap> inner, Memory& memory,
                                                 int block_size) {
  return lying(std::move(inner), memory, [block_size](const Ids&, Ids& local) {
    std::map<std::int32_t, int> seen;
    for (std::int32_t& id : local) {
      if (id >= 0 && seen[id]++ % block_size != 0) id = -1;
    }
  });
}

}  // namespace moe
