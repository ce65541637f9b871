// A combined row that is another token's sum. Doubled is a row that stands twice and lost one that
// stands nowhere: rows that only changed places are neither.

#include <algorithm>

#include "golden/capture_hypotheses.h"
#include "golden/capture_values.h"
#include "kernels/base/text.h"

namespace moe::golden {
namespace {

// Another token whose sum the row is.
struct OtherSum {
  DueRow token;
  bool is_empty = false;    // of no terms
  bool is_swapped = false;  // its own row holds this one's
  bool is_home = false;     // its own row holds it too
};

// Calls look(token) for every row of every rank, the wrong row's rank first; ends where it RETURNS
// true.
template <typename Look>
void for_others(const WrongRow& row, Look&& look) {
  const int ranks = row.judging.capture.ep_size();
  for (int i = 0; i < ranks; ++i) {
    const int rank = (row.token.source + i) % ranks;
    for (Count other = 0; other < row.judging.rank(rank).combined.rows; ++other) {
      const bool is_own = rank == row.token.source && other == row.token.row;
      if (!is_own && look(DueRow{rank, other})) return;
    }
  }
}

bool holds(const WrongRow& row, const DueRow& place, const Sum& sum) {
  return wrong_columns(sum, row.judging.rank(place.source).combined, place.row, 1).empty();
}

// The best of them: swapped before moved before doubled.
std::optional<OtherSum> other_sum(const WrongRow& row) {
  std::optional<OtherSum> best;
  for_others(row, [&](const DueRow& token) {
    const DeclaredSum declared = declared_sum(row.judging, token);
    if (!declared.is_whole || !fits(row, declared.sum)) return false;
    OtherSum found{.token = token, .is_empty = declared.sum.terms.empty()};
    found.is_swapped = holds(row, token, row.sum);
    found.is_home = holds(row, token, declared.sum);
    if (!best || found.is_swapped || (best->is_home && !found.is_home)) best = found;
    return found.is_swapped;
  });
  return best;
}

// Where the wrong row's own sum stands, in the place of another.
std::optional<DueRow> place_of_own(const WrongRow& row) {
  std::optional<DueRow> place;
  for_others(row, [&](const DueRow& token) {
    if (holds(row, token, row.sum) && is_wrong(row.judging, token)) place = token;
    return place.has_value();
  });
  return place;
}

constexpr Count likened_max = 512;  // other tokens

constexpr Count torn_min = 8;  // columns that cannot be another's by chance

// Whether all of the wrong columns are what the sum makes.
bool holds_there(const WrongRow& row, const Sum& sum) {
  return std::ranges::all_of(row.columns, [&](Count column) {
    return is_right(element_of(sum, column), bits_at(combined_of(row), row.token.row, column),
                    sum.dtype);
  });
}

}  // namespace

std::string likeness_text(const WrongRow& row) {
  const Count columns = combined_of(row).columns;
  const Count few = columns / 4;
  std::string words;
  Count least = few + 1;
  Count tried = 0;
  for_others(row, [&](const DueRow& token) {
    const DeclaredSum declared = declared_sum(row.judging, token);
    if (!declared.is_whole || declared.sum.terms.empty()) return false;
    if (std::ssize(row.columns) >= torn_min && holds_there(row, declared.sum)) {
      words = text("; there it is the sum of ", row_text(token));
      return true;
    }
    const auto wrong = wrong_columns(declared.sum, combined_of(row), row.token.row, least);
    if (!wrong.empty() && std::ssize(wrong) < std::min(least, std::ssize(row.columns))) {
      least = std::ssize(wrong);
      words = text("; it is the sum of ", row_text(token), " but for ", least, " of ", columns,
                   " elements, from column ", wrong.front(), " on");
    }
    return ++tried == likened_max;
  });
  return words;
}

bool name_other_token(const WrongRow& row, OtherTokens which, CaptureFinding& finding) {
  const std::optional<OtherSum> other = other_sum(row);
  if (!other) return false;
  const std::string sum = text("this is the sum of ", row_text(other->token));
  if (other->is_swapped) {
    finding.fault = CaptureFault::row_swapped;
    finding.cause = text(sum, ", which has this one's: the two are swapped");
    return true;
  }
  const std::optional<DueRow> own = place_of_own(row);
  if (own && !other->is_home) {
    finding.fault = CaptureFault::order_broken;
    finding.cause = text(sum, ", this one's stands in the place of ", row_text(*own),
                         ": rows have changed places");
    return true;
  }
  if (which == OtherTokens::changed_places || other->is_empty) return false;
  const bool is_here = other->token.source == row.token.source;
  finding.fault = !is_here         ? CaptureFault::row_from_wrong_rank
                  : other->is_home ? CaptureFault::row_doubled
                                   : CaptureFault::row_lost;
  finding.cause = text(sum, is_here ? "" : ", the wrong rank's row",
                       other->is_home ? ", which stands in its own place too: that row is doubled, "
                                      : ", whose own place holds another: ",
                       own ? text("this one's stands in the place of ", row_text(*own))
                           : "this one's stands nowhere, it is lost");
  return true;
}

}  // namespace moe::golden
