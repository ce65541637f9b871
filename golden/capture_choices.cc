// Ids and weights of rows that arrived in the standard format: the choices of this rank's experts
// in the space that the capture names, the others as the backend leaves them.

#include <algorithm>
#include <bit>

#include "golden/capture_judging.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

constexpr const char* ids_tensor = "dispatched_topk_ids";
constexpr const char* weights_tensor = "dispatched_topk_weights";

// What stands where a choice's expert is another rank's. remapped: what vLLM writes for -1, an
// expert that this rank does not own (E - 1 where its first expert is 0, else 0).
enum class ForeignId { minus_one, as_given, remapped };
enum class ForeignWeight { zero, as_given };

struct Conventions {
  ForeignId id = ForeignId::minus_one;
  ForeignWeight weight = ForeignWeight::zero;
};

struct Choice {
  int expert = -1;
  bool is_local = false;
  std::int64_t id = 0;
  float weight = 0;
};

class Choices {
 public:
  Choices(const Judging& judging, std::size_t place)
      : judging_(judging), capture_(judging.capture), rank_(judging.places[place].rank) {}

  std::int64_t id_of(int expert) const {
    const auto at = static_cast<std::size_t>(expert);
    return capture_.id_space == IdSpace::local ? judging_.experts.local_of[at] : expert;
  }

  Choice expected(const DueRow& due, int slot, Conventions conventions) const {
    const auto given = static_cast<std::size_t>(due.row * capture_.top_k + slot);
    const CapturedRank& source = judging_.rank(due.source);
    Choice choice{expert_of(capture_, due.source, due.row, slot)};
    choice.is_local = choice.expert >= 0 && is_local(choice.expert);
    choice.weight = source.topk_weights[given];
    if (choice.is_local) {
      choice.id = id_of(choice.expert);
      return choice;
    }
    if (conventions.weight == ForeignWeight::zero) choice.weight = 0;
    choice.id = foreign_id(source.topk_ids[given], conventions.id);
    return choice;
  }

 private:
  bool is_local(int expert) const {
    return judging_.experts.rank_of[static_cast<std::size_t>(expert)] == rank_;
  }

  std::int64_t foreign_id(std::int64_t given, ForeignId convention) const {
    if (convention == ForeignId::as_given) return given;
    if (convention == ForeignId::minus_one) return -1;
    return is_local(0) ? capture_.num_experts - 1 : 0;
  }

  const Judging& judging_;
  const Capture& capture_;
  int rank_;
};

std::int64_t id_at(const Judging& judging, const Place& place, Count row, int slot) {
  return judging.rank(place.rank)
      .dispatched_topk_ids[static_cast<std::size_t>(row * judging.capture.top_k + slot)];
}

float weight_at(const Judging& judging, const Place& place, Count row, int slot) {
  return judging.rank(place.rank)
      .dispatched_topk_weights[static_cast<std::size_t>(row * judging.capture.top_k + slot)];
}

bool is_same(float one, float other) {
  return std::bit_cast<std::uint32_t>(one) == std::bit_cast<std::uint32_t>(other);
}

// Calls look(place, row, due, slot) for every choice of every row that arrived.
template <typename Look>
void for_choices(const Judging& judging, Look&& look) {
  for (std::size_t place = 0; place < judging.places.size(); ++place) {
    for (Count row = 0; row < judging.places[place].size; ++row) {
      const DueRow* due = judging.due_at(place, row);
      if (due == nullptr) continue;
      for (int slot = 0; slot < judging.capture.top_k; ++slot) look(place, row, *due, slot);
    }
  }
}

std::vector<Conventions> possible_conventions(const Capture& capture) {
  const bool is_local = capture.id_space == IdSpace::local;
  if (capture.contract.delivery == Delivery::every_rank) {
    if (!is_local) return {{ForeignId::as_given, ForeignWeight::as_given}};
    return {{ForeignId::minus_one, ForeignWeight::as_given},
            {ForeignId::minus_one, ForeignWeight::zero}};
  }
  std::vector<Conventions> possible = {{ForeignId::minus_one, ForeignWeight::zero}};
  if (!is_local) possible.push_back({ForeignId::remapped, ForeignWeight::zero});
  if (capture.contract.clears_foreign) return possible;
  possible.push_back({ForeignId::minus_one, ForeignWeight::as_given});
  if (!is_local) {
    possible.push_back({ForeignId::as_given, ForeignWeight::as_given});
    possible.push_back({ForeignId::as_given, ForeignWeight::zero});
    possible.push_back({ForeignId::remapped, ForeignWeight::as_given});
  }
  return possible;
}

// The possible convention that most choices of other ranks' experts keep.
Conventions conventions_of(const Judging& judging) {
  const std::vector<Conventions> possible = possible_conventions(judging.capture);
  std::vector<Count> kept(possible.size(), 0);
  for_choices(judging, [&](std::size_t place, Count row, const DueRow& due, int slot) {
    const Choices choices(judging, place);
    for (std::size_t i = 0; i < possible.size(); ++i) {
      const Choice choice = choices.expected(due, slot, possible[i]);
      if (choice.is_local) return;
      const Place& here = judging.places[place];
      kept[i] += static_cast<Count>(id_at(judging, here, row, slot) == choice.id);
      kept[i] += static_cast<Count>(is_same(weight_at(judging, here, row, slot), choice.weight));
    }
  });
  return possible[static_cast<std::size_t>(std::ranges::max_element(kept) - kept.begin())];
}

// A whole row of labels as it stands in the capture, and as it should.
using Labels = std::vector<std::string>;

struct LabelRows {
  std::vector<Labels> actual;
  std::vector<Labels> expected;
};

// RETURNS the row of the place that this row's labels are due in, one that has this row's before
// others; -1 if there is none.
Count owner_of_labels(const LabelRows& labels, Count row) {
  const auto at = static_cast<std::size_t>(row);
  Count owner = -1;
  for (std::size_t other = 0; other < labels.expected.size(); ++other) {
    if (other == at || labels.expected[other] != labels.actual[at]) continue;
    if (labels.expected[other] == labels.expected[at]) continue;
    if (labels.actual[other] == labels.expected[at]) return static_cast<Count>(other);
    if (owner < 0) owner = static_cast<Count>(other);
  }
  return owner;
}

std::string id_cause(const Judging& judging, const Place& place, const Choice& choice,
                     std::int64_t actual) {
  const std::int64_t distance = actual - choice.id;
  const bool is_local = judging.capture.id_space == IdSpace::local;
  if (choice.is_local && is_local && actual == choice.expert) return "the global id, not the local";
  if (choice.is_local && !is_local &&
      actual == judging.experts.local_of[static_cast<std::size_t>(choice.expert)]) {
    return "the local id, not the global";
  }
  if (distance == 1 || distance == -1) return text("shifted by ", distance);
  if (actual == -1) return text("the choice of expert ", choice.expert, " is masked");
  if (!choice.is_local) {
    return text("the choice is not one of rank ", place.rank, "'s experts");
  }
  return text("another expert than the token's choice, ", choice.expert);
}

bool is_shift(const std::string& cause) {
  return cause.starts_with("shifted") || cause.starts_with("the global") ||
         cause.starts_with("the local");
}

std::string weight_cause(const Judging& judging, const DueRow& due, const Choice& choice,
                         float actual) {
  if (!choice.is_local && choice.weight == 0) {
    return "the choice of another rank's expert must weigh nothing here";
  }
  if (actual == 0) return "the weight is lost";
  if (is_same(actual, 1)) return "the weight is 1: never applied, or lost";
  if (is_same(actual, choice.weight * choice.weight)) return "the weight twice";
  for (int slot = 0; slot < judging.capture.top_k; ++slot) {
    const auto given = static_cast<std::size_t>(due.row * judging.capture.top_k + slot);
    if (is_same(actual, judging.rank(due.source).topk_weights[given])) {
      return text("the weight of the token's choice ", slot);
    }
  }
  const std::uint32_t bits =
      std::bit_cast<std::uint32_t>(actual) ^ std::bit_cast<std::uint32_t>(choice.weight);
  const int count = std::popcount(bits);
  return text(count, count == 1 ? " bit differs" : " bits differ");
}

void find_id(Judging& judging, const Place& place, Count row, const DueRow& due,
             const std::pair<int, Choice>& at) {
  const auto& [slot, choice] = at;
  const std::int64_t actual = id_at(judging, place, row, slot);
  if (actual == choice.id) return;
  CaptureFinding finding = finding_at(place, row, &due, ids_tensor);
  finding.slot = slot;
  finding.value = text(actual);
  finding.expected = text(choice.id);
  finding.cause = id_cause(judging, place, choice, actual);
  finding.fault = is_shift(finding.cause) ? CaptureFault::id_shifted : CaptureFault::id_changed;
  judging.result.findings.push_back(finding);
}

void find_weight(Judging& judging, const Place& place, Count row, const DueRow& due,
                 const std::pair<int, Choice>& at) {
  const auto& [slot, choice] = at;
  const float actual = weight_at(judging, place, row, slot);
  if (is_same(actual, choice.weight)) return;
  CaptureFinding finding = finding_at(place, row, &due, weights_tensor);
  finding.slot = slot;
  finding.value = value_text(actual);
  finding.expected = value_text(choice.weight);
  finding.fault = CaptureFault::weight_changed;
  finding.cause = weight_cause(judging, due, choice, actual);
  judging.result.findings.push_back(finding);
}

// A row whose labels are all another row's: one finding. RETURNS whether it was one.
bool find_other_row(Judging& judging, std::size_t place, Count row, const LabelRows& labels,
                    const char* tensor) {
  const auto at = static_cast<std::size_t>(row);
  if (labels.actual[at] == labels.expected[at]) return false;
  const Count owner = owner_of_labels(labels, row);
  if (owner < 0) return false;
  const Labels& there = labels.actual[static_cast<std::size_t>(owner)];
  const bool is_swapped = there == labels.expected[at];
  Count differing = 0;
  Count first = -1;
  for (std::size_t slot = 0; slot < labels.actual[at].size(); ++slot) {
    if (labels.actual[at][slot] == labels.expected[at][slot]) continue;
    ++differing;
    if (first < 0) first = static_cast<Count>(slot);
  }
  if (!is_swapped && differing < 2) return false;
  CaptureFinding finding =
      finding_at(judging.places[place], row, judging.due_at(place, row), tensor);
  finding.fault = is_swapped ? CaptureFault::row_swapped : CaptureFault::row_doubled;
  finding.slot = first;
  finding.elements = differing;
  finding.value = labels.actual[at][static_cast<std::size_t>(first)];
  finding.expected = labels.expected[at][static_cast<std::size_t>(first)];
  finding.cause = text(is_swapped ? "swapped with those of row " : "those of row ", owner);
  judging.result.findings.push_back(finding);
  return true;
}

struct PlaceLabels {
  LabelRows ids;
  LabelRows weights;
};

PlaceLabels labels_of(const Judging& judging, std::size_t at, Conventions conventions) {
  const Choices choices(judging, at);
  const Place& place = judging.places[at];
  PlaceLabels labels;
  for (Count row = 0; row < place.size; ++row) {
    const DueRow* due = judging.due_at(at, row);
    for (LabelRows* rows : {&labels.ids, &labels.weights}) {
      rows->actual.emplace_back();
      rows->expected.emplace_back();
    }
    if (due == nullptr) continue;
    for (int slot = 0; slot < judging.capture.top_k; ++slot) {
      const Choice choice = choices.expected(*due, slot, conventions);
      labels.ids.actual.back().push_back(text(id_at(judging, place, row, slot)));
      labels.ids.expected.back().push_back(text(choice.id));
      labels.weights.actual.back().push_back(value_text(weight_at(judging, place, row, slot)));
      labels.weights.expected.back().push_back(value_text(choice.weight));
    }
  }
  return labels;
}

}  // namespace

void judge_choices(Judging& judging) {
  if (judging.capture.contract.delivery == Delivery::experts) return;
  const Conventions conventions = conventions_of(judging);
  for (std::size_t at = 0; at < judging.places.size(); ++at) {
    const PlaceLabels labels = labels_of(judging, at, conventions);
    const Choices choices(judging, at);
    const Place& place = judging.places[at];
    for (Count row = 0; row < place.size; ++row) {
      const DueRow* due = judging.due_at(at, row);
      if (due == nullptr) continue;
      const bool has_other_ids = find_other_row(judging, at, row, labels.ids, ids_tensor);
      const bool has_other_weights =
          find_other_row(judging, at, row, labels.weights, weights_tensor);
      for (int slot = 0; slot < judging.capture.top_k; ++slot) {
        const std::pair<int, Choice> choice{slot, choices.expected(*due, slot, conventions)};
        if (!has_other_ids) find_id(judging, place, row, *due, choice);
        if (!has_other_weights) find_weight(judging, place, row, *due, choice);
      }
    }
  }
}

}  // namespace moe::golden
