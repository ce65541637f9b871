// Counts of each expert's rows, the order of what arrived, and where each slot says its row is
// from.

#include <algorithm>
#include <set>

#include "golden/capture_judging.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr std::int64_t count_mask = 0xFFFFFFFF;

// Rows of each local expert of a rank, by the choices of what is due there.
std::vector<Count> due_counts(const Judging& judging, int rank) {
  const auto local = judging.experts.num_local_experts[static_cast<std::size_t>(rank)];
  std::vector<Count> counts(static_cast<std::size_t>(local), 0);
  for (const Place& place : judging.places) {
    if (place.rank != rank) continue;
    for (const DueRow& due : place.due) {
      if (place.local_expert >= 0) {
        ++counts[static_cast<std::size_t>(place.local_expert)];
        continue;
      }
      for (int slot = 0; slot < judging.capture.top_k; ++slot) {
        const int expert = expert_of(judging.capture, due.source, due.row, slot);
        if (expert < 0 || judging.experts.rank_of[static_cast<std::size_t>(expert)] != rank)
          continue;
        ++counts[static_cast<std::size_t>(
            judging.experts.local_of[static_cast<std::size_t>(expert)])];
      }
    }
  }
  return counts;
}

// What lies in the first slot that only the count makes valid.
std::string extra_row_text(const Judging& judging, int rank, std::size_t expert) {
  for (std::size_t at = 0; at < judging.places.size(); ++at) {
    const Place& place = judging.places[at];
    if (place.rank != rank || place.local_expert != static_cast<int>(expert)) continue;
    const Count extra = std::ssize(place.due);
    if (place.valid > place.size) return text("; the capacity is ", place.size);
    if (extra >= place.valid) return "";
    const auto known = judging.index.find(key_of(judging.rows_at(at).content(extra)));
    if (known == judging.index.end()) return text("; slot ", extra, " holds nobody's row");
    const DueRow& row = known->second.front();
    return text("; slot ", extra, " holds ", row_text(row),
                is_due_in(place, row) ? " once more" : ", which did not choose this expert");
  }
  return "";
}

void find_count(Judging& judging, int rank, std::size_t expert, const std::vector<Count>& due) {
  const std::vector<std::int32_t>& counts = *judging.rank(rank).expert_num_tokens;
  const Count value = counts[expert];
  if (value == due[expert]) return;
  CaptureFinding finding{.fault = CaptureFault::count_changed,
                         .tensor = "expert_num_tokens",
                         .rank = rank,
                         .expert = static_cast<int>(expert),
                         .value = text(value),
                         .expected = text(due[expert])};
  finding.cause = text("off by ", value - due[expert], extra_row_text(judging, rank, expert));
  for (std::size_t other = 0; other < due.size(); ++other) {
    if (other == expert || value != due[other]) continue;
    if (counts[other] == due[expert]) {
      finding.fault = CaptureFault::count_shifted;
      finding.cause = text("swapped with that of expert ", other);
      break;
    }
    const bool is_beside = other + 1 == expert || expert + 1 == other;
    if (is_beside && counts[other] != due[other]) {
      finding.fault = CaptureFault::count_shifted;
      finding.cause = text("that of its neighbour, expert ", other);
    }
  }
  judging.result.findings.push_back(finding);
}

// Slots of a place by the rank that their row is from: [begin, end) and how many.
struct Block {
  Count begin = 0;
  Count end = 0;
  Count count = 0;
};

std::vector<Block> blocks_of(const Judging& judging, std::size_t at) {
  std::vector<Block> blocks(judging.shipped.size());
  for (Count slot = 0; slot < judging.places[at].size; ++slot) {
    const DueRow* due = judging.due_at(at, slot);
    if (due == nullptr) continue;
    Block& block = blocks[static_cast<std::size_t>(due->source)];
    if (block.count == 0) block.begin = slot;
    block.end = slot + 1;
    ++block.count;
  }
  return blocks;
}

// Whether a source has a row of that content for the place.
bool may_be_of(const Judging& judging, std::size_t at, Count slot, int source) {
  const ArrivedRows rows = judging.rows_at(at);
  return std::ranges::any_of(rows.place.due, [&](const DueRow& due) {
    return due.source == source && key_of(rows.content_of(due)) == key_of(rows.content(slot));
  });
}

// A source's rows lie together, with nobody else's between them.
void judge_blocks(Judging& judging, std::size_t at) {
  const std::vector<Block> blocks = blocks_of(judging, at);
  for (std::size_t source = 0; source < blocks.size(); ++source) {
    const Block& block = blocks[source];
    for (Count slot = block.begin; slot < block.end; ++slot) {
      const DueRow* due = judging.due_at(at, slot);
      if (due == nullptr || due->source == static_cast<int>(source)) continue;
      if (may_be_of(judging, at, slot, static_cast<int>(source))) continue;
      CaptureFinding finding =
          finding_at(judging.places[at], slot, due, "dispatched_hidden_states");
      finding.fault = CaptureFault::order_broken;
      finding.cause =
          text(row_text(*due), " stands in the middle of rank ", source, "'s rows, slots ",
               block.begin, " to ", block.end - 1, "; a source's rows must be one block");
      judging.result.findings.push_back(finding);
      break;
    }
  }
}

std::string range_text(std::int64_t range) {
  return text("begin ", range >> 32, " count ", range & count_mask);
}

// A source without rows has begun at 0 or where another's block begins or ends.
std::set<Count> edges_of(const std::vector<Block>& blocks) {
  std::set<Count> edges = {0};
  for (const Block& block : blocks) {
    if (block.count > 0) edges.insert({block.begin, block.end});
  }
  return edges;
}

// What a source's range may be. A source of which nothing arrived may begin at any edge.
std::string due_range_text(const std::vector<Block>& blocks, int source, Count due) {
  const Block& block = blocks[static_cast<std::size_t>(source)];
  if (block.count > 0) return range_text((block.begin << 32) | due);
  return text("begin ", joined(edges_of(blocks), " or "), " count ", due);
}

void find_range(Judging& judging, const Place& place, const std::vector<Block>& blocks, int source,
                std::int64_t range) {
  const Block& block = blocks[static_cast<std::size_t>(source)];
  const Count due =
      std::ranges::count_if(place.due, [&](const DueRow& row) { return row.source == source; });
  const Count begin = range >> 32;
  const Count count = range & count_mask;
  const bool begins = block.count > 0 ? begin == block.begin : edges_of(blocks).contains(begin);
  if (begins && count == due) return;
  CaptureFinding finding{.fault = CaptureFault::source_range_changed,
                         .tensor = "source_range",
                         .rank = place.rank,
                         .expert = place.local_expert,
                         .source_rank = source,
                         .value = range_text(range),
                         .expected = due_range_text(blocks, source, due)};
  if (count != due) {
    finding.cause = text("rank ", source, " has ", due, " rows for this expert");
  } else if (block.count == 0) {
    finding.cause = text("rank ", source, " has no rows here, and no block begins or ends there");
  } else {
    finding.cause = text("the rows of rank ", source, " do not begin there");
  }
  judging.result.findings.push_back(finding);
}

void judge_ranges(Judging& judging, std::size_t at) {
  const Place& place = judging.places[at];
  const CapturedRank& here = judging.rank(place.rank);
  if (!here.source_range) return;
  const std::vector<Block> blocks = blocks_of(judging, at);
  for (int source = 0; source < judging.capture.ep_size(); ++source) {
    const auto index = place.local_expert * judging.capture.ep_size() + source;
    find_range(judging, place, blocks, source,
               (*here.source_range)[static_cast<std::size_t>(index)]);
  }
}

void judge_source_rows(Judging& judging, std::size_t at) {
  const Place& place = judging.places[at];
  const CapturedRank& here = judging.rank(place.rank);
  if (!here.source_row) return;
  for (Count slot = 0; slot < place.size; ++slot) {
    const DueRow* due = judging.due_at(at, slot);
    if (due == nullptr) continue;
    const auto said = (*here.source_row)[static_cast<std::size_t>(place.first + slot)];
    if (said == due->row) continue;
    CaptureFinding finding = finding_at(place, slot, due, "source_row");
    finding.fault = CaptureFault::source_row_changed;
    finding.value = text(said);
    finding.expected = text(due->row);
    finding.cause = text("the slot holds ", row_text(*due), ": its result would go to row ", said);
    judging.result.findings.push_back(finding);
  }
}

// Padded buffers have one part of the same size for each source.
void judge_parts(Judging& judging, std::size_t at) {
  const Place& place = judging.places[at];
  const Count part = judging.part_sizes[at];
  for (Count slot = 0; slot < place.size; ++slot) {
    const DueRow* due = judging.due_at(at, slot);
    if (due == nullptr || due->source == slot / part) continue;
    CaptureFinding finding = finding_at(place, slot, due, "dispatched_hidden_states");
    finding.fault = CaptureFault::order_broken;
    finding.cause = text(row_text(*due), " stands in the part of rank ", slot / part);
    judging.result.findings.push_back(finding);
  }
}

}  // namespace

void judge_counts(Judging& judging) {
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    if (!judging.rank(rank).expert_num_tokens) continue;
    const std::vector<Count> due = due_counts(judging, rank);
    for (std::size_t expert = 0; expert < due.size(); ++expert) {
      find_count(judging, rank, expert, due);
    }
  }
}

void judge_sources(Judging& judging) {
  for (std::size_t at = 0; at < judging.places.size(); ++at) {
    if (judging.capture.contract.order == ReceiveOrder::source_blocks) {
      if (judging.part_sizes[at] == 0) {
        judge_blocks(judging, at);
      } else {
        judge_parts(judging, at);
      }
    }
    judge_source_rows(judging, at);
    judge_ranges(judging, at);
  }
}

}  // namespace moe::golden
