// Seven lies. What they do to one rank they do to all, so that no rank waits in vain: it is the
// values, the rows and the bytes that are wrong.

#include "backends/faulty_dispatch.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "backends/faulty_expert_ids.h"
#include "backends/lying_prepare_finalize.h"

namespace moe {

std::unique_ptr<PrepareFinalize> with_extra_all_reduce(std::unique_ptr<PrepareFinalize> inner,
                                                       const FaultyDispatchSite& site) {
  return with_spoiled_output(std::move(inner), [&tp = site.groups.tp](const Tensor& output) {
    tp.all_reduce(output, ReduceOp::sum, output);
  });
}

std::unique_ptr<PrepareFinalize> with_pads_to_expert_0(std::unique_ptr<PrepareFinalize> inner,
                                                       const FaultyDispatchSite& site) {
  const auto lie = [&memory = site.memory](PrepareFinalize& healthy, const Tensor& hidden_states,
                                           const Routing& routing, RowCounts tokens) {
    if (!routing.is_selected()) return healthy.prepare(hidden_states, routing, tokens);
    std::vector<std::int32_t> ids = ids_on_host(memory, routing.topk_ids);
    for (std::int32_t& id : ids) id = std::max(id, 0);
    Routing changed = routing;
    Buffer changed_ids = ids_in(memory, ids, routing.topk_ids);
    changed.topk_ids = changed_ids.tensor();
    Dispatched dispatched = healthy.prepare(hidden_states, changed, tokens);
    dispatched.handle.keep(std::move(changed_ids));  // the dispatched ids may be these
    return dispatched;
  };
  return lying(std::move(inner), {.prepare = lie});
}

std::unique_ptr<PrepareFinalize> with_reinterpreted_ids(std::unique_ptr<PrepareFinalize> inner) {
  return with_spoiled_dispatch(std::move(inner), [](Dispatched& dispatched) {
    Tensor& ids = dispatched.routing.topk_ids;
    ids.columns = row_bytes(ids) / size_of(DType::i16);
    ids.dtype = DType::i16;
  });
}

std::unique_ptr<PrepareFinalize> with_first_of_gather(std::unique_ptr<PrepareFinalize> inner) {
  return with_spoiled_dispatch(std::move(inner), [](Dispatched& dispatched) {
    const Count first = dispatched.handle.rows_per_rank.front();
    for (Tensor* rows :
         {&dispatched.hidden_states, &dispatched.routing.topk_ids, &dispatched.routing.topk_weights,
          &dispatched.routing.router_logits, &dispatched.provenance}) {
      if (rows->rows > first) *rows = rows_of(*rows, 0, first);
    }
  });
}

namespace {

// Of each expert its number among the slots of all ranks, ranks ascending.
std::vector<std::int32_t> dispatched_ids_of(const ExpertMap& experts) {
  std::vector<std::int32_t> first = {0};
  for (const int count : experts.num_local_experts) first.push_back(first.back() + count);
  std::vector<std::int32_t> ids;
  for (std::size_t expert = 0; expert < experts.rank_of.size(); ++expert) {
    ids.push_back(first[static_cast<std::size_t>(experts.rank_of[expert])] +
                  experts.local_of[expert]);
  }
  return ids;
}

}  // namespace

std::unique_ptr<PrepareFinalize> with_dispatched_ids_in_combine(
    std::unique_ptr<PrepareFinalize> inner, const FaultyDispatchSite& site,
    const ExpertMap& experts) {
  const auto lie = [&memory = site.memory, dispatched_id = dispatched_ids_of(experts)](
                       PrepareFinalize& healthy, const Tensor& hidden_states,
                       const Routing& routing, RowCounts tokens) {
    Dispatched dispatched = healthy.prepare(hidden_states, routing, tokens);
    ReturnPath& path = dispatched.handle.return_path;
    if (path.message_of.rows != routing.topk_ids.rows) return dispatched;
    const std::vector<std::int32_t> ids = ids_on_host(memory, routing.topk_ids);
    const std::vector<std::int32_t> healthy_messages = ids_on_host(memory, path.message_of);
    std::vector<std::int32_t> messages(healthy_messages.size(), -1);
    const auto top_k = static_cast<std::size_t>(path.message_of.columns);
    for (std::size_t at = 0; at < messages.size(); ++at) {
      if (ids[at] < 0) continue;
      const std::int32_t taken_for = dispatched_id[static_cast<std::size_t>(ids[at])];
      const std::size_t row = at / top_k * top_k;
      for (std::size_t other = row; other < row + top_k; ++other) {
        if (ids[other] == taken_for) messages[at] = healthy_messages[other];
      }
    }
    path.message_of = dispatched.handle.keep(ids_in(memory, messages, path.message_of));
    return dispatched;
  };
  return lying(std::move(inner), {.prepare = lie});
}

std::unique_ptr<PrepareFinalize> with_own_messages_first(std::unique_ptr<PrepareFinalize> inner,
                                                         const FaultyDispatchSite& site) {
  return with_spoiled_dispatch(
      std::move(inner), [&ep = site.groups.ep, &memory = site.memory](Dispatched& dispatched) {
        ReturnPath& path = dispatched.handle.return_path;
        if (path.message_of.rows == 0) return;
        const auto turns_from_own = [&](std::int32_t message) {
          int rank = 0;
          Count after = 0;  // the messages of ranks up to this one
          while (rank < ep.size() && message >= (after += path.messages_to.at(rank))) ++rank;
          return message < 0 ? ep.size() : (rank + ep.size() - ep.rank()) % ep.size();
        };
        const Count top_k = path.message_of.columns;
        std::vector<std::int32_t> messages = ids_on_host(memory, path.message_of);
        std::vector<float> weights(messages.size());
        const bool has_weights = path.topk_weights.rows > 0;
        const Tensor host{weights.data(), path.message_of.rows, top_k, DType::f32, {}};
        if (has_weights) memory.copy_to_host(path.topk_weights, host);
        for (auto row = messages.begin(); row != messages.end(); row += top_k) {
          const auto weight_of = weights.begin() + (row - messages.begin());
          std::vector<std::pair<std::int32_t, float>> terms;
          for (Count k = 0; k < top_k; ++k) terms.emplace_back(row[k], weight_of[k]);
          std::ranges::stable_sort(terms, {},
                                   [&](const auto& term) { return turns_from_own(term.first); });
          for (Count k = 0; k < top_k; ++k) {
            std::tie(row[k], weight_of[k]) = terms[static_cast<std::size_t>(k)];
          }
        }
        path.message_of = dispatched.handle.keep(ids_in(memory, messages, path.message_of));
        if (has_weights) path.topk_weights = dispatched.handle.keep(copy_of(host, memory));
      });
}

std::unique_ptr<PrepareFinalize> with_extra_gather(std::unique_ptr<PrepareFinalize> inner,
                                                   const FaultyDispatchSite& site) {
  const auto lie = [&group = dispatch_group(site.groups, site.parallel)](
                       PrepareFinalize& healthy, const Tensor& hidden_states,
                       const Routing& routing, RowCounts tokens) {
    const Buffer residual(group.memory(),
                          {total_rows(tokens), hidden_states.columns, hidden_states.dtype});
    group.all_gather_v({&hidden_states, 1}, tokens, {&residual.tensor(), 1});
    return healthy.prepare(hidden_states, routing, tokens);
  };
  return lying(std::move(inner), {.prepare = lie});
}

}  // namespace moe
