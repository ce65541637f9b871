// Ids and weights of rows that arrived in the standard format: the choices of this rank's experts
// in the space that the capture names, the others as the backend leaves them.

#include <algorithm>
#include <bit>

#include "golden/capture_choice_faults.h"
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

// Labels as they stand in the capture, and as they should.
struct LabelRows {
  const char* tensor = "";
  CaptureFault fault = CaptureFault::id_changed;
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

bool is_shift(const std::string& cause) {
  return cause.starts_with("shifted") || cause.starts_with("the global") ||
         cause.starts_with("the local");
}

struct ExpectedChoice {
  int slot = 0;
  Choice choice;
  std::span<const std::string> row_ids;  // of all the row's choices
};

void find_id(Judging& judging, const Place& place, Count row, const DueRow& due,
             const ExpectedChoice& at) {
  const auto& [slot, choice, row_ids] = at;
  const std::int64_t actual = id_at(judging, place, row, slot);
  if (actual == choice.id) return;
  CaptureFinding finding = finding_at(place, row, &due, ids_tensor);
  finding.slot = slot;
  finding.value = text(actual);
  finding.expected = text(choice.id);
  finding.cause = id_cause(judging, place, choice, actual, row_ids);
  finding.fault = is_shift(finding.cause) ? CaptureFault::id_shifted : CaptureFault::id_changed;
  judging.result.findings.push_back(finding);
}

void find_weight(Judging& judging, const Place& place, Count row, const DueRow& due,
                 const ExpectedChoice& at) {
  const auto& [slot, choice, row_ids] = at;
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

// Of all the row's labels that differ, at the first of them. REQUIRES that one does.
CaptureFinding finding_of_row(const Judging& judging, std::size_t place, Count row,
                              const LabelRows& labels) {
  const Labels& actual = labels.actual[static_cast<std::size_t>(row)];
  const Labels& expected = labels.expected[static_cast<std::size_t>(row)];
  CaptureFinding finding =
      finding_at(judging.places[place], row, judging.due_at(place, row), labels.tensor);
  finding.fault = labels.fault;
  finding.elements = 0;
  for (std::size_t slot = 0; slot < actual.size(); ++slot) {
    if (actual[slot] == expected[slot] || finding.elements++ > 0) continue;
    finding.slot = static_cast<Count>(slot);
    finding.value = actual[slot];
    finding.expected = expected[slot];
  }
  return finding;
}

// A row whose labels are all another row's: one finding. RETURNS whether it was one.
bool find_other_row(Judging& judging, std::size_t place, Count row, const LabelRows& labels) {
  const auto at = static_cast<std::size_t>(row);
  if (labels.actual[at] == labels.expected[at]) return false;
  const Count owner = owner_of_labels(labels, row);
  if (owner < 0) return false;
  const Labels& there = labels.actual[static_cast<std::size_t>(owner)];
  const bool is_swapped = there == labels.expected[at];
  CaptureFinding finding = finding_of_row(judging, place, row, labels);
  if (!is_swapped && finding.elements < 2) return false;
  const bool is_home = there == labels.expected[static_cast<std::size_t>(owner)];
  const bool is_moved =
      !is_home && std::ranges::find(labels.actual, labels.expected[at]) != labels.actual.end();
  finding.fault = is_swapped ? CaptureFault::row_swapped
                  : is_moved ? CaptureFault::order_broken
                             : CaptureFault::row_doubled;
  finding.cause = text(is_swapped ? "swapped with those of row " : "those of row ", owner,
                       is_moved  ? ": rows have changed places"
                       : is_home ? ", which has them too"
                                 : "");
  judging.result.findings.push_back(finding);
  return true;
}

struct PlaceLabels {
  LabelRows ids = {.tensor = ids_tensor, .fault = CaptureFault::id_changed};
  LabelRows weights = {.tensor = weights_tensor, .fault = CaptureFault::weight_changed};
};

// The row's labels, explained together: another row's, its own in another order, or all weights
// times a constant. RETURNS whether they were, with one finding.
bool find_row(Judging& judging, std::size_t place, Count row, const LabelRows& labels,
              const std::string& scaled) {
  const Labels& actual = labels.actual[static_cast<std::size_t>(row)];
  const Labels& expected = labels.expected[static_cast<std::size_t>(row)];
  if (actual == expected) return false;
  if (find_other_row(judging, place, row, labels)) return true;
  const std::string order = order_text(actual, expected);
  if (order.empty() && scaled.empty()) return false;
  CaptureFinding finding = finding_of_row(judging, place, row, labels);
  finding.cause = order.empty() ? scaled : text("the row's own in another order: ", order);
  judging.result.findings.push_back(finding);
  return true;
}

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
      std::vector<ExpectedChoice> expected;
      std::vector<float> weights;
      std::vector<float> due_weights;
      for (int slot = 0; slot < judging.capture.top_k; ++slot) {
        expected.push_back({slot, choices.expected(*due, slot, conventions),
                            labels.ids.expected[static_cast<std::size_t>(row)]});
        weights.push_back(weight_at(judging, place, row, slot));
        due_weights.push_back(expected.back().choice.weight);
      }
      const bool has_ids = find_row(judging, at, row, labels.ids, "");
      const bool has_weights =
          find_row(judging, at, row, labels.weights, scaled_text(weights, due_weights));
      for (const ExpectedChoice& choice : expected) {
        if (!has_ids) find_id(judging, place, row, *due, choice);
        if (!has_weights) find_weight(judging, place, row, *due, choice);
      }
    }
  }
}

}  // namespace moe::golden
