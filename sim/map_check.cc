// Three questions, each asked with numbers of its own: the rule again as plain arithmetic,
// checksums of weights made again from the scenario, checksums of maps compared over the ranks.

#include "sim/map_check.h"

#include <algorithm>

#include "backends/placement/expert_rows.h"
#include "comm/gathered_numbers.h"
#include "kernels/base/digest.h"
#include "kernels/base/text.h"

namespace moe::sim {
namespace {

// Where an expert lives by the rule.
struct Home {
  int rank = 0;
  int slot = 0;
};

Home home_by_rule(int expert, int num_experts, int num_ranks, Placement placement) {
  if (placement == Placement::round_robin) return {expert % num_ranks, expert / num_ranks};
  const int base = num_experts / num_ranks;
  const int remainder = num_experts % num_ranks;
  for (int rank = num_ranks - 1; rank > 0; --rank) {
    const int first = rank * base + std::min(rank, remainder);
    if (expert >= first) return {rank, expert - first};
  }
  return {0, expert};
}

std::uint64_t digest_of_maps(const ReplicaMaps& maps) {
  std::vector<int> numbers = maps.physical_to_logical;
  for (const std::vector<int>& replicas : maps.logical_to_physical) {
    numbers.push_back(static_cast<int>(replicas.size()));
    numbers.insert(numbers.end(), replicas.begin(), replicas.end());
  }
  return digest_of(std::as_bytes(std::span(numbers)));
}

// Who differs from whom; empty where nobody does. Where more than half of the ranks agree, the
// others are the odd ones.
std::string difference_of(const std::vector<std::int64_t>& of_rank) {
  std::int64_t most = of_rank.front();
  for (const std::int64_t number : of_rank) {
    if (std::ranges::count(of_rank, number) > std::ranges::count(of_rank, most)) most = number;
  }
  std::vector<int> odd;
  for (int rank = 0; rank < std::ssize(of_rank); ++rank) {
    if (of_rank[static_cast<std::size_t>(rank)] != most) odd.push_back(rank);
  }
  if (odd.empty()) return {};
  if (2 * std::ssize(odd) < std::ssize(of_rank)) {
    return text("EP rank ", joined(odd), " holds another map than the others");
  }
  return "the EP ranks hold different maps, and none is that of more than half of them";
}

}  // namespace

std::uint64_t ExpertDigests::of(int layer, int expert) {
  const auto [known, is_first] = known_.try_emplace({layer, expert});
  if (is_first) {
    const int one[] = {expert};
    known->second = slot_digests(inputs_.expert_weights(layer, one, memory_), 1, memory_).front();
  }
  return known->second;
}

std::vector<int> experts_of_rank(const ExpertMap& map, int rank) {
  std::vector<int> experts(
      static_cast<std::size_t>(map.num_local_experts[static_cast<std::size_t>(rank)]));
  for (int expert = 0; expert < map.num_experts(); ++expert) {
    const auto at = static_cast<std::size_t>(expert);
    if (map.rank_of[at] != rank) continue;
    experts[static_cast<std::size_t>(map.local_of[at])] = expert;
  }
  return experts;
}

void check_placement(const ExpertMap& map, Placement placement, const MapMoment& at,
                     CheckLedger& ledger) {
  ledger.looked("MAP");
  for (int expert = 0; expert < map.num_experts(); ++expert) {
    const Home home = home_by_rule(expert, map.num_experts(), map.num_ranks(), placement);
    const int rank = map.rank_of[static_cast<std::size_t>(expert)];
    const int slot = map.local_of[static_cast<std::size_t>(expert)];
    if (rank == home.rank && slot == home.slot) continue;
    return ledger.found(
        "MAP", at.moment,
        text("placement ", at.when, ": expert ", expert, " of ", map.num_experts(),
             " lives in slot ", slot, " of rank ", rank, ", the rule for ", map.num_ranks(),
             " ranks says slot ", home.slot, " of rank ", home.rank));
  }
}

void check_slots(const LoadedSlots& slots, SlotsLookedAt which, ExpertDigests& digests,
                 const MapMoment& at, CheckLedger& ledger) {
  ledger.looked("MAP");
  const auto num_slots = static_cast<int>(slots.experts.size());
  if (num_slots == 0) return;
  const auto held = slot_digests(slots.weights, num_slots, digests.memory());
  for (int slot = 0; slot < num_slots; ++slot) {
    if (which == SlotsLookedAt::ends && slot != 0 && slot != num_slots - 1) continue;
    const int expert = slots.experts[static_cast<std::size_t>(slot)];
    if (held[static_cast<std::size_t>(slot)] == digests.of(slots.layer, expert)) continue;
    ledger.found(
        "MAP", at.moment,
        text("weights ", at.when, ": layer ", slots.layer, ", rank ", slots.rank, ": slot ", slot,
             " does not hold the weights of expert ", expert, ", which the map sends there"));
  }
}

void check_same_maps(std::span<const ReplicaMaps* const> maps, int first_layer, Communicator& group,
                     const MapMoment& at, CheckLedger& ledger) {
  ledger.looked("MAP");
  std::vector<std::int64_t> own;
  for (const ReplicaMaps* of_layer : maps) {
    own.push_back(static_cast<std::int64_t>(digest_of_maps(*of_layer)));
    const ReplicaMaps again = replica_maps(of_layer->physical_to_logical, of_layer->num_logical());
    if (again == *of_layer) continue;
    ledger.found("MAP", at.moment,
                 text("maps ", at.when, ": layer ", first_layer + std::ssize(own) - 1,
                      ": replicas and slots do not name each other"));
  }
  const std::vector<std::int64_t> all = gathered_numbers(own, group);
  for (std::size_t layer = 0; layer < own.size(); ++layer) {
    std::vector<std::int64_t> of_rank;
    for (std::size_t at_rank = layer; at_rank < all.size(); at_rank += own.size()) {
      of_rank.push_back(all[at_rank]);
    }
    const std::string difference = difference_of(of_rank);
    if (difference.empty()) continue;
    ledger.found("MAP", at.moment,
                 text("maps ", at.when, ": layer ", first_layer + static_cast<int>(layer), ": ",
                      difference));
  }
}

}  // namespace moe::sim
