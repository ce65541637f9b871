// Two comparisons and their sentences.
// The numbers come from the budget and from the traced communicator, the tags from the layer.

#include "sim/traffic_check.h"

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

std::string words_of(const Traffic& traffic) {
  return text(traffic.rows, " rows, ", traffic.bytes, " bytes in ", traffic.collectives,
              " collectives");
}

}  // namespace

void check_traffic(golden::Cell cell, const Traffic& sent, const Traffic& budget,
                   CheckLedger& ledger) {
  ledger.looked("BYTES");
  const bool is_same = sent.rows == budget.rows && sent.bytes == budget.bytes &&
                       sent.collectives == budget.collectives;
  if (is_same) return;
  ledger.found("BYTES", moment_of(cell, 1),
               text(place_text(cell), ": the layer sent ", words_of(sent), "; its budget is ",
                    words_of(budget)));
}

void check_sharing(golden::Cell cell, SharingTags& tags, CheckLedger& ledger) {
  ledger.looked("PART");
  for (const std::string& violation : tags.take_violations()) {
    ledger.found("PART", moment_of(cell, 1), text(place_text(cell), ", combine: ", violation));
  }
}

Traffic since(const Traffic& before, const Traffic& now) {
  return {now.bytes - before.bytes, now.rows - before.rows, now.collectives - before.collectives,
          now.staged_bytes - before.staged_bytes};
}

}  // namespace moe::sim
