// One group call over the list [hidden_states, topk_ids, topk_weights, tags]; the tags are a side
// tensor and travel last, so that whoever counts traffic can leave them out.

#include "backends/gathered_rows.h"

#include <vector>

namespace moe {

Buffer provenance_tags(Memory& memory, int rank, Count rows) {
  std::vector<std::int64_t> tags;
  for (Count row = 0; row < rows; ++row) tags.push_back(provenance_tag(rank, row));
  return copy_of({tags.data(), rows, 1, DType::i64, {}}, memory);
}

Dispatched all_gathered(const PrepareFinalizeConfig& config, const Tensor& hidden_states,
                        const Routing& routing, RowCounts tokens) {
  const Count num_rows = total_rows(tokens);
  Dispatched dispatched;
  const auto receive = [&](const Tensor& sent) {
    return dispatched.handle.keep(Buffer(config.memory, {num_rows, sent.columns, sent.dtype}));
  };
  std::vector<Tensor> sent = {hidden_states, routing.topk_ids, routing.topk_weights};
  dispatched.hidden_states = receive(hidden_states);
  dispatched.routing = {receive(routing.topk_ids), receive(routing.topk_weights), routing.space};
  std::vector<Tensor> received = {dispatched.hidden_states, dispatched.routing.topk_ids,
                                  dispatched.routing.topk_weights};
  Buffer tags;
  if (config.provenance == Provenance::travels) {
    tags = provenance_tags(config.memory, config.group.rank(), hidden_states.rows);
    dispatched.provenance = receive(tags.tensor());
    sent.push_back(tags.tensor());
    received.push_back(dispatched.provenance);
  }
  dispatched.handle.rows_per_rank.assign(tokens.begin(), tokens.end());
  config.group.all_gather_v(sent, tokens, received);
  return dispatched;
}

}  // namespace moe
