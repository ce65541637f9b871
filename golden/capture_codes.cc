// Codes of a rank that are made in another way than the declared one: one finding for each way,
// however many rows it explains. Rows that no way makes are capture_rows.cc's.

#include <algorithm>
#include <utility>

#include "golden/capture_rows.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr Count explained_min = 8;  // wrong codes, where right rows speak against a way

// A way to make codes, and those of a rank's slots that it makes.
struct Way {
  const CodeHypothesis* hypothesis = nullptr;
  std::vector<SlotAt> wrong = {};  // where other codes are due
  Count right = 0;
};

// The slots of a rank that hold the row due there, or another one.
std::vector<SlotAt> slots_of(const Judging& judging, int rank, bool is_whole) {
  std::vector<SlotAt> slots;
  for (std::size_t at = 0; at < judging.places.size(); ++at) {
    const Place& place = judging.places[at];
    for (Count slot = 0; slot < place.size && place.rank == rank; ++slot) {
      if (judging.due_at(at, slot) == nullptr) continue;
      if (judging.arrivals[at].is_whole[static_cast<std::size_t>(slot)] != is_whole) continue;
      slots.push_back({at, slot});
    }
  }
  return slots;
}

std::vector<const CodeHypothesis*> makers_at(const Judging& judging, SlotAt at) {
  return makers_of(judging, judging.rows_at(at.place).content(at.slot),
                   *judging.due_at(at.place, at.slot));
}

// One code all over, as memory is that nobody wrote.
bool is_constant(std::span<const std::byte> codes) {
  return std::ranges::count(codes, codes.front()) == std::ssize(codes);
}

struct RankSlots {
  std::vector<SlotAt> wrong;
  std::vector<SlotAt> right;
};

// Ways that make the codes of more than one wrong row.
std::vector<Way> ways_of(const Judging& judging, const RankSlots& slots) {
  std::vector<Way> ways;
  for (const CodeHypothesis& hypothesis : code_hypotheses()) ways.push_back({&hypothesis});
  const auto of = [&](const CodeHypothesis* hypothesis) {
    return std::ranges::find(ways, hypothesis, &Way::hypothesis);
  };
  for (const SlotAt at : slots.wrong) {
    if (is_constant(judging.rows_at(at.place).content(at.slot))) continue;
    for (const CodeHypothesis* maker : makers_at(judging, at)) {
      of(maker)->wrong.push_back(at);
    }
  }
  std::erase_if(ways, [](const Way& way) { return way.wrong.size() < 2; });
  for (const SlotAt at : ways.empty() ? std::vector<SlotAt>{} : slots.right) {
    for (const CodeHypothesis* maker : makers_at(judging, at)) {
      if (const auto way = of(maker); way != ways.end()) ++way->right;
    }
  }
  return ways;
}

// What all ways that make the same rows say.
std::string words_of(const Way& best, const std::vector<Way>& ways) {
  std::vector<std::string> words;
  for (const Way& way : ways) {
    if (way.wrong == best.wrong && way.right == best.right) {
      words.emplace_back(way.hypothesis->words);
    }
  }
  return joined(words, "; or ");
}

// The finding of all rows that a way explains, at the first of them.
CaptureFinding finding_of(const Judging& judging, const Way& way, const RankSlots& slots,
                          const std::string& words) {
  CaptureFinding finding = row_finding(damaged_row(judging, way.wrong.front()));
  finding.fault = CaptureFault::quantiser_differs;
  finding.elements = 0;
  for (const SlotAt at : way.wrong) {
    finding.elements += std::ssize(differing_columns(damaged_row(judging, at)));
  }
  const Count rows = std::ssize(slots.wrong) + std::ssize(slots.right);
  const bool is_all = std::ssize(way.wrong) + way.right == rows;
  finding.cause = is_all ? text("all rows of the rank: ", words, " (", way.wrong.size(), " of ",
                                rows, " differ, in ", finding.elements, " codes)")
                         : text(way.wrong.size(), " of the rank's ", rows, " rows: ", words, " (",
                                finding.elements, " codes differ)");
  return finding;
}

}  // namespace

std::vector<const CodeHypothesis*> makers_of(const Judging& judging,
                                             std::span<const std::byte> codes, const DueRow& due) {
  if (judging.capture.quantization == Quantization::none) return {};
  const ShippedRows& shipped = judging.shipped[static_cast<std::size_t>(due.source)];
  const std::vector<float> values = floats_of(judging.rank(due.source).hidden_states, due.row);
  const Count groups = num_quantised_groups(shipped.rows.columns);
  const std::span<const float> scales =
      std::span(shipped.scales)
          .subspan(static_cast<std::size_t>(due.row * groups), static_cast<std::size_t>(groups));
  std::vector<const CodeHypothesis*> makers;
  for (const CodeHypothesis& hypothesis : code_hypotheses()) {
    if (makes_codes(hypothesis, values, scales, codes)) makers.push_back(&hypothesis);
  }
  return makers;
}

ToldSlots judge_codes(Judging& judging, int rank) {
  const RankSlots slots{slots_of(judging, rank, false), slots_of(judging, rank, true)};
  std::vector<Way> ways = ways_of(judging, slots);
  ToldSlots told;
  while (!ways.empty()) {
    const Way best = *std::ranges::max_element(
        ways, {}, [](const Way& way) { return std::pair(way.wrong.size(), way.right); });
    const CaptureFinding finding = finding_of(judging, best, slots, words_of(best, ways));
    if (best.right == std::ssize(slots.right) || finding.elements >= explained_min) {
      judging.result.findings.push_back(finding);
      told.insert(best.wrong.begin(), best.wrong.end());
    } else {
      std::erase_if(ways, [&](const Way& way) { return way.hypothesis == best.hypothesis; });
    }
    for (Way& way : ways) {
      std::erase_if(way.wrong, [&](SlotAt at) { return told.contains(at); });
    }
    std::erase_if(ways, [](const Way& way) { return way.wrong.size() < 2; });
  }
  return told;
}

}  // namespace moe::golden
