// The judgement of a capture in its order: what is due, what arrived, labels, sums.
// Each part is in a file of its own; what they share is capture_judging.h.

#include "golden/capture.h"

#include <algorithm>
#include <array>
#include <utility>

#include "golden/capture_judging.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr std::array<std::string_view, 27> fault_names = {
    "value changed",        "row swapped",          "row lost",
    "row doubled",          "row not due here",     "row from the wrong rank",
    "row never written",    "row scaled",           "row shifted",
    "order broken",         "id changed",           "id shifted",
    "weight changed",       "count changed",        "count shifted",
    "scale changed",        "source row changed",   "source range changed",
    "partial sum missing",  "partial sum doubled",  "partial sum wrong",
    "weight applied twice", "weight never applied", "weight of another",
    "reduction differs",    "quantiser differs",    "input invalid"};

}  // namespace

std::string_view name_of(CaptureFault fault) {
  return fault_names[static_cast<std::size_t>(fault)];
}

std::string row_text(const DueRow& row) { return text("row ", row.row, " of rank ", row.source); }

CaptureFinding finding_at(const Place& place, Count slot, const DueRow* due, std::string tensor) {
  CaptureFinding finding{.tensor = std::move(tensor), .rank = place.rank};
  if (place.local_expert < 0) {
    finding.row = slot;
  } else {
    finding.expert = place.local_expert;
    finding.slot = slot;
  }
  if (due != nullptr) {
    finding.source_rank = due->source;
    finding.source_row = due->row;
  }
  return finding;
}

void judge_inputs(Judging& judging) {
  const int top_k = judging.capture.top_k;
  for (int rank = 0; rank < judging.capture.ep_size(); ++rank) {
    const std::vector<std::int64_t>& ids = judging.rank(rank).topk_ids;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= -1 && ids[i] < judging.capture.num_experts) continue;
      judging.result.findings.push_back(
          {.fault = CaptureFault::input_invalid,
           .tensor = "topk_ids",
           .rank = rank,
           .row = static_cast<Count>(i) / top_k,
           .slot = static_cast<Count>(i) % top_k,
           .value = text(ids[i]),
           .expected = text("-1 or an expert below ", judging.capture.num_experts),
           .cause = "no expert has this id; the choice is taken as masked"});
    }
  }
}

namespace {

int global_expert(const ExpertMap& experts, int rank, int local) {
  for (int expert = 0; expert < experts.num_experts(); ++expert) {
    const auto at = static_cast<std::size_t>(expert);
    if (experts.rank_of[at] == rank && experts.local_of[at] == local) return expert;
  }
  return -1;
}

}  // namespace

CaptureJudgement judge(const Capture& capture) {
  Judging judging{capture, expert_map_of(capture)};
  judging.shipped = shipped_rows(capture);
  judging.index = index_of(judging.shipped);
  judging.places = places_of(capture, judging.experts);
  judging.locations = locations_of(judging);
  judge_inputs(judging);
  take_arrivals(judging);
  judge_rows(judging);
  judge_scales(judging);
  judge_choices(judging);
  judge_counts(judging);
  judge_sources(judging);
  judge_combined(judging);
  for (CaptureFinding& finding : judging.result.findings) {
    if (finding.expert < 0) continue;
    finding.global_expert = global_expert(judging.experts, finding.rank, finding.expert);
  }
  return std::move(judging.result);
}

}  // namespace moe::golden
