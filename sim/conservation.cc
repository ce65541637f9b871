// The check of one cell: tags are read once, then rows, ids, weights and choices are counted.
// A tag that names no token of the step is a finding of its own and counts for nothing else.

#include "sim/conservation.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/base/bits.h"
#include "kernels/base/text.h"
#include "sim/batched_check.h"
#include "sim/host_copy.h"
#include "sim/row_choices.h"

namespace moe::sim {
namespace {

class DispatchCheck final : public DispatchFindings {
 public:
  DispatchCheck(const ConservationFacts& facts, golden::Cell cell, CheckLedger& ledger)
      : DispatchFindings(facts, cell, ledger) {
    arrivals_.resize(static_cast<std::size_t>(total_rows(tokens_.rows_per_rank())));
  }

  // num_rows: of the dispatched ones those that somebody sent.
  void count(Count num_rows) {
    ledger_.looked("COUNT");
    Count expected = 0;
    for_each_row([&](std::int64_t tag) { expected += must_arrive(tag) ? 1 : 0; });
    if (num_rows != expected) {
      found("COUNT", text(num_rows, " rows arrived, ", expected, " must: the ranks hold ",
                          joined(tokens_.rows_per_rank())));
    }
  }

  void rows(const Dispatched& dispatched, Memory& memory) {
    ledger_.looked("PROV");
    const HostCopy tags(dispatched.provenance, memory);
    const HostCopy ids(dispatched.routing.topk_ids, memory);
    const auto tag_of = elements_of<std::int64_t>(tags.tensor());
    for (Count row = 0; row < dispatched.hidden_states.rows; ++row) {
      const std::int64_t tag = tag_of[static_cast<std::size_t>(row)];
      const Tensor row_ids = rows_of(ids.tensor(), row, 1);
      if (is_padding(tag, row_ids)) continue;
      if (!names_a_token(tag, [row] { return text("row ", row); })) continue;
      ++arrivals_[tokens_.index_of(tag)];
      stands_in_order(row, tag);
      stands_in_window(row, tag, dispatched.hidden_states.rows);
      ids_of_row(row, tag, row_ids);
    }
    check_payloads(dispatched, tag_of, memory);
  }

  // COUNT of the standard format's counts, where a backend hands some out.
  void choices_of_experts(const Dispatched& dispatched, Memory& memory) {
    if (dispatched.expert_num_tokens.rows == 0) return;
    const HostCopy counts(dispatched.expert_num_tokens, memory);
    const HostCopy ids(dispatched.routing.topk_ids, memory);
    const ExpertMap& map = facts_.expert_map;
    std::vector<std::int32_t> expected(static_cast<std::size_t>(counts.tensor().rows));
    for (const std::int32_t id : elements_of<std::int32_t>(ids.tensor())) {
      if (id < 0 || id >= map.num_experts() || !choices_.lives_here(id)) continue;
      ++expected.at(static_cast<std::size_t>(map.local_of[static_cast<std::size_t>(id)]));
    }
    const auto said = elements_of<std::int32_t>(counts.tensor());
    for (std::size_t local = 0; local < expected.size(); ++local) {
      if (said[local] == expected[local]) continue;
      return found("COUNT", text("local expert ", local, " is said to have ", said[local],
                                 " choices, the dispatched ids hold ", expected[local]));
    }
  }

  void conservation() {
    ledger_.looked("CONS");
    for_each_row([&](std::int64_t tag) {
      const int times = arrivals_[tokens_.index_of(tag)];
      const int expected = must_arrive(tag) ? 1 : 0;
      if (times != expected) conservation_broken(tag, times);
    });
  }

 private:
  // Source ranks ascend, and each one's rows (distribution-layer.md, 9); arrival is free only where
  // rows stand in experts' rooms.
  void stands_in_order(Count row, std::int64_t tag) {
    const auto place = static_cast<std::int64_t>(tokens_.index_of(tag));
    if (place < last_place_) {
      found("PROV", text("row ", row, " is ", tokens_.words(tag),
                         " and stands behind a later source's: sources ascend"));
    }
    last_place_ = std::max(last_place_, place);
  }

  // Each source's rows begin where its window does, and leave no gap.
  void stands_in_window(Count row, std::int64_t tag, Count num_rows) {
    if (facts_.capabilities.receive_room != ReceiveRoom::by_source) return;
    const int source = rank_of_tag(tag);
    const Count first = num_rows / std::ssize(tokens_.rows_per_rank()) * source;
    const Count place = first + num_seen_of_[source]++;
    if (row == place) return;
    found("PROV", text("row ", row, " is ", tokens_.words(tag), ", which must stand at row ", place,
                       ": the window of source ", source, " begins at row ", first));
  }

  // A row that nobody sent says so twice.
  bool is_padding(std::int64_t tag, const Tensor& row_ids) const {
    return facts_.capabilities.pads_received_rows() && tag == no_row &&
           std::ranges::all_of(elements_of<std::int32_t>(row_ids), [](int id) { return id == -1; });
  }

  bool must_arrive(std::int64_t tag) const {
    if (facts_.capabilities.dispatch_reach != DispatchReach::owner_ranks) return true;
    return std::ranges::any_of(choices_.of(tag),
                               [this](int expert) { return choices_.lives_here(expert); });
  }

  void ids_of_row(Count row, std::int64_t tag, const Tensor& row_ids) {
    const auto received = elements_of<std::int32_t>(row_ids);
    const std::vector<int> expected = choices_.as_received(tag);
    if (std::ranges::equal(received, expected)) return;
    const std::vector<std::int16_t> travelling = choices_.of(tag);
    const std::vector<int> chosen(travelling.begin(), travelling.end());
    const std::string contract =
        chosen == expected ? "" : text(", which must come as [", joined(expected), "]");
    found("PROV", text("row ", row, " is ", tokens_.words(tag), " but came with experts [",
                       joined(received), "], that token chose [", joined(chosen), "]", contract));
  }

  // The first and the last row of every source's run, byte for byte; of quantised ones all.
  void check_payloads(const Dispatched& dispatched, std::span<const std::int64_t> tags,
                      Memory& memory) {
    const DispatchedRows hidden(dispatched, memory);
    std::vector<std::int64_t> valid;
    std::ranges::copy_if(tags, std::back_inserter(valid),
                         [this](std::int64_t tag) { return tokens_.contains(tag); });
    check_scale_of_all(hidden, valid);
    for (std::size_t row = 0; row < tags.size(); ++row) {
      const bool is_edge = row == 0 || row + 1 == tags.size() ||
                           rank_of_tag(tags[row - 1]) != rank_of_tag(tags[row]) ||
                           rank_of_tag(tags[row + 1]) != rank_of_tag(tags[row]);
      if (!(is_edge || dispatched.is_quantized()) || !tokens_.contains(tags[row])) continue;
      check_payload(hidden, static_cast<Count>(row), tags[row],
                    [row] { return text("row ", row); });
    }
  }

  void conservation_broken(std::int64_t tag, int times) {
    std::vector<int> here;
    for (const int expert : choices_.of(tag)) {
      if (choices_.lives_here(expert)) here.push_back(expert);
    }
    const std::string where =
        here.empty() ? text("rank ", cell_.rank) : text("expert ", joined(here));
    if (times == 0) {
      found("CONS", text(tokens_.words(tag), " never reached ", where));
    } else {
      found("CONS", text(tokens_.words(tag), " reached ", where, " ", times, " times"));
    }
  }

  std::vector<int> arrivals_;
  std::int64_t last_place_ = -1;      // of the valid rows so far
  std::map<int, Count> num_seen_of_;  // of each source's rows
};

}  // namespace

void check_dispatched(const ConservationFacts& facts, golden::Cell cell,
                      const Dispatched& dispatched, Memory& memory, CheckLedger& ledger) {
  if (facts.capabilities.activation_format == ActivationFormat::batched_experts) {
    return check_batched(facts, cell, dispatched, memory, ledger);
  }
  DispatchCheck check(facts, cell, ledger);
  const Tensor& tags = dispatched.provenance;
  const bool has_tags = tags.columns == 1 && tags.rows == dispatched.hidden_states.rows;
  if (!facts.capabilities.pads_received_rows()) {
    check.count(dispatched.hidden_states.rows);
  } else if (has_tags) {
    const HostCopy copy(tags, memory);
    check.count(std::ranges::count_if(elements_of<std::int64_t>(copy.tensor()),
                                      [](std::int64_t tag) { return tag != no_row; }));
  }
  if (!has_tags) return;
  check.rows(dispatched, memory);
  check.choices_of_experts(dispatched, memory);
  check.conservation();
}

void check_shared_input(const ConservationFacts& facts, golden::Cell cell,
                        const Tensor& hidden_states, Memory& memory, CheckLedger& ledger) {
  ledger.looked("PROV");
  const HostCopy rows(hidden_states, memory);
  const DispatchedTokens tokens(facts.parallel, facts.inputs.tokens(cell.step), true, {},
                                facts.call_part());
  std::vector<std::byte> expected(static_cast<std::size_t>(row_bytes(hidden_states)));
  for (Count row = 0; row < hidden_states.rows; ++row) {
    const std::int64_t tag = provenance_tag(dispatch_rank(facts.parallel), row);
    std::ranges::fill(expected, std::byte{0});
    if (const auto token = tokens.token_of(tag)) {
      facts.inputs.hidden_row({cell.step, cell.layer, token->dp_rank}, token->token, expected);
    }
    if (std::memcmp(row_at(rows.tensor(), row), expected.data(), expected.size()) == 0) continue;
    ledger.found("PROV", moment_of(cell, 0),
                 text(place_text(cell), ", shared experts: row ", row, " is not ",
                      tokens.words(tag), ", whose hidden states they must read"));
    return;
  }
}

}  // namespace moe::sim
