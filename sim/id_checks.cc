// Every choice is looked at by itself; sums and offsets are 64-bit here, whatever the layer uses.
// A map's answer has three ways to be wrong, and each belongs to one check.

#include "sim/id_checks.h"

#include <algorithm>
#include <limits>

#include "kernels/base/text.h"
#include "sim/host_copy.h"

namespace moe::sim {
namespace {

constexpr Count index_max = std::numeric_limits<std::int32_t>::max();  // of a grouped row

class IdCheck {
 public:
  IdCheck(const IdsPlace& place, CheckLedger& ledger) : place_(place), ledger_(ledger) {}

  void global(std::span<const std::int32_t> ids, Count rows) {
    const auto top_k = static_cast<Count>(place_.contract.top_k);
    if (rows * top_k > index_max) {
      found("RANGE", text(rows, " rows of ", top_k, " choices have more places than a 32-bit ",
                          "index (", index_max, ")"));
    }
    for (Count row = 0; row < rows; ++row) {
      const auto chosen =
          ids.subspan(static_cast<std::size_t>(row * top_k), static_cast<std::size_t>(top_k));
      for (std::size_t slot = 0; slot < chosen.size(); ++slot) one_global(row, chosen, slot);
    }
  }

  void local(std::span<const std::int32_t> global, std::span<const std::int32_t> local) {
    const auto top_k = static_cast<std::size_t>(place_.contract.top_k);
    for (std::size_t i = 0; i < global.size(); ++i) {
      one_local({static_cast<Count>(i / top_k), i % top_k}, global[i], local[i]);
    }
  }

  void space(IdSpace actual, IdSpace expected) {
    if (actual != expected) found("IDS", "ids say that they are of another space");
  }

 private:
  struct Choice {
    Count row = 0;
    std::size_t slot = 0;
  };

  std::string words(Choice choice) const {
    return text(place_.token_of(choice.row), ", slot ", choice.slot);
  }

  void one_global(Count row, std::span<const std::int32_t> chosen, std::size_t slot) {
    const std::int32_t id = chosen[slot];
    if (id < -1 || id >= place_.contract.num_experts()) {
      found("RANGE", text(words({row, slot}), " has id ", id, ", of [-1, ",
                          place_.contract.num_experts(), ")"));
    }
    const auto before = chosen.first(slot);
    if (id >= 0 && std::ranges::find(before, id) != before.end()) {
      found("RANGE", text(words({row, slot}), " has id ", id, " once more: [", joined(chosen),
                          "]; a token's ids differ"));
    }
  }

  void one_local(Choice choice, std::int32_t global, std::int32_t local) {
    const LayerContract& contract = place_.contract;
    if (local < -1 || local >= contract.num_local_experts) {
      found("RANGE", text(words(choice), " has local id ", local, ", of [-1, ",
                          contract.num_local_experts, ")"));
    }
    if (global < 0 && local != -1) {
      found("RANGE", text(words(choice), " is masked (id ", global,
                          ") and was used as an index: it became local expert ", local));
    }
    if (global < 0 || global >= contract.num_experts()) return;
    const int expected = contract.local_of[static_cast<std::size_t>(global)];
    if (local == expected) return;
    if (local == -1) {
      return found(
          "CONS", text(words(choice), " never reached expert ", global, " (local ", expected, ")"));
    }
    found("IDS", text(words(choice), ": global expert ", global, " was computed as local expert ",
                      local, "; this rank's map says ",
                      expected < 0 ? "that it lives elsewhere" : text("local ", expected)));
  }

  void found(std::string_view check, const std::string& what) {
    ledger_.found(check, moment_of(place_.cell, 0),
                  text(place_text(place_.cell), ", ", place_.edge, ": ", what));
  }

  const IdsPlace& place_;
  CheckLedger& ledger_;
};

}  // namespace

void check_global_ids(const IdsPlace& place, const Routing& routing, CheckLedger& ledger) {
  ledger.looked("RANGE");
  ledger.looked("IDS");
  IdCheck check(place, ledger);
  check.space(routing.space, place.contract.ids_space());
  const HostCopy ids(routing.topk_ids, place.memory);
  check.global(elements_of<std::int32_t>(ids.tensor()), routing.topk_ids.rows);
}

void check_local_ids(const IdsPlace& place, const Routing& dispatched, const RoutingBuffers& local,
                     CheckLedger& ledger) {
  IdCheck check(place, ledger);
  check.space(local.space, IdSpace::local);
  const HostCopy global(dispatched.topk_ids, place.memory);
  const HostCopy slots(local.topk_ids.tensor(), place.memory);
  check.local(elements_of<std::int32_t>(global.tensor()),
              elements_of<std::int32_t>(slots.tensor()));
}

}  // namespace moe::sim
