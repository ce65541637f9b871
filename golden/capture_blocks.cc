// Rows that arrived in one block for each source: which block is whose follows from the contents.
// Sources may hold equal rows (TP peers do), so that blocks are tried until all of them fit.

#include <algorithm>
#include <map>

#include "golden/capture_places.h"

namespace moe::golden {
namespace {

constexpr int blocks_tried_max = 10'000;

class Tiling {
 public:
  Tiling(const ArrivedRows& rows, const Claims& claims) : rows_(rows), claims_(claims) {
    for (Count due = 0; due < std::ssize(rows.place.due); ++due) {
      const DueRow& row = rows.place.due[static_cast<std::size_t>(due)];
      dues_of_[row.source][key_of(rows.content_of(row))].push_back(due);
      ++size_of_[row.source];
    }
    for (Count slot = 0; slot < rows.place.size; ++slot) {
      if (!rows.is_padding[static_cast<std::size_t>(slot)]) slots_.push_back(slot);
    }
    arrival_.due_of.assign(static_cast<std::size_t>(rows.place.size), -1);
    arrival_.is_whole.assign(static_cast<std::size_t>(rows.place.size), false);
    arrival_.slot_of.assign(rows.place.due.size(), -1);
  }

  std::optional<Arrival> found() {
    if (rows_.place.due.size() > slots_.size() || !fits_from(0)) return std::nullopt;
    return arrival_;
  }

 private:
  // Whether the slots from that one of slots_ on are whole blocks of the sources that are left.
  bool fits_from(Count begin) {
    if (begin == std::ssize(rows_.place.due)) return true;
    std::vector<int> sources;
    for (const auto& [source, size] : size_of_) {
      if (!used_[source]) sources.push_back(source);
    }
    std::ranges::stable_partition(sources,
                                  [&](int source) { return is_claimed(slot_at(begin), source); });
    for (const int source : sources) {
      if (++tried_ > blocks_tried_max) return false;
      const Count end = begin + size_of_[source];
      if (!takes(source, begin, end)) continue;
      used_[source] = true;
      if (fits_from(end)) return true;
      used_[source] = false;
    }
    return false;
  }

  Count slot_at(Count at) const { return slots_[static_cast<std::size_t>(at)]; }

  bool is_claimed(Count slot, int source) const {
    const auto& dues = dues_of_.at(source);
    const auto found = dues.find(key_of(rows_.content(slot)));
    return found != dues.end() && std::ranges::any_of(found->second, [&](Count due) {
             return claims_(slot, rows_.place.due[static_cast<std::size_t>(due)]);
           });
  }

  // Gives the slots to the source's rows, claimed ones first. RETURNS whether they are exactly
  // those.
  bool takes(int source, Count begin, Count end) {
    std::map<std::string_view, std::vector<Count>> left = dues_of_[source];
    std::vector<Count> unclaimed;
    for (Count at = begin; at < end; ++at) {
      const Count slot = slot_at(at);
      const auto found = left.find(key_of(rows_.content(slot)));
      if (found == left.end()) return false;
      const auto claimed = std::ranges::find_if(found->second, [&](Count due) {
        return claims_(slot, rows_.place.due[static_cast<std::size_t>(due)]);
      });
      if (claimed == found->second.end()) {
        unclaimed.push_back(slot);
        continue;
      }
      give(slot, *claimed);
      found->second.erase(claimed);
    }
    for (const Count slot : unclaimed) {
      std::vector<Count>& dues = left.find(key_of(rows_.content(slot)))->second;
      if (dues.empty()) return false;
      give(slot, dues.front());
      dues.erase(dues.begin());
    }
    return true;
  }

  void give(Count slot, Count due) {
    arrival_.due_of[static_cast<std::size_t>(slot)] = due;
    arrival_.slot_of[static_cast<std::size_t>(due)] = slot;
    arrival_.is_whole[static_cast<std::size_t>(slot)] = true;
  }

  const ArrivedRows& rows_;
  const Claims& claims_;
  std::vector<Count> slots_;  // without padding
  std::map<int, std::map<std::string_view, std::vector<Count>>> dues_of_;
  std::map<int, Count> size_of_;
  std::map<int, bool> used_;
  Arrival arrival_;
  int tried_ = 0;
};

}  // namespace

std::optional<Arrival> arrival_in_blocks(const ArrivedRows& rows, const Claims& claims) {
  return Tiling(rows, claims).found();
}

}  // namespace moe::golden
