// What is due where follows from the trusted tensors alone: the choices, the placement of the
// experts, and what the backend promises to deliver.

#include "golden/capture_places.h"

#include <algorithm>

#include "golden/capture_quantiser.h"
#include "golden/capture_values.h"

namespace moe::golden {
namespace {

// Rows of TP peers that gather apart: each rank meets those of its own column.
std::vector<int> column_of(const Capture& capture, int rank) {
  std::vector<int> ranks;
  for (int dp = 0; dp < capture.dp_size; ++dp) {
    ranks.push_back(dp * capture.tp_size + rank % capture.tp_size);
  }
  return ranks;
}

Count rows_of(const Capture& capture, const std::vector<int>& ranks) {
  Count rows = 0;
  for (const int rank : ranks) {
    rows += capture.ranks[static_cast<std::size_t>(rank)].hidden_states.rows;
  }
  return rows;
}

std::vector<int> all_ranks(const Capture& capture) {
  std::vector<int> ranks;
  for (int rank = 0; rank < capture.ep_size(); ++rank) ranks.push_back(rank);
  return ranks;
}

bool have_equal_rows(const CapturedRank& one, const CapturedRank& other) {
  return one.hidden_states.bytes == other.hidden_states.bytes && one.topk_ids == other.topk_ids;
}

// Whether TP peers hold the same rows, so that each column of the grid gathers by itself: most
// ranks' numbers of rows say it, and where they say nothing the rows do.
bool gathers_in_columns(const Capture& capture) {
  if (!capture.contract.gathers_over_dp || capture.tp_size == 1) return false;
  const Count in_all = rows_of(capture, all_ranks(capture));
  int votes = 0;
  for (int rank = 0; rank < capture.ep_size(); ++rank) {
    const Count here = capture.ranks[static_cast<std::size_t>(rank)].dispatched.rows;
    const Count in_column = rows_of(capture, column_of(capture, rank));
    if (in_column == in_all) continue;
    votes += static_cast<int>(here == in_column) - static_cast<int>(here == in_all);
  }
  if (votes != 0) return votes > 0;
  for (int rank = 0; rank < capture.ep_size(); ++rank) {
    const int first = rank - rank % capture.tp_size;
    if (!have_equal_rows(capture.ranks[static_cast<std::size_t>(rank)],
                         capture.ranks[static_cast<std::size_t>(first)])) {
      return false;
    }
  }
  return true;
}

std::vector<int> sources_of(const Capture& capture, int rank, bool in_columns) {
  if (capture.contract.moves_nothing) return {rank};
  if (in_columns) return column_of(capture, rank);
  std::vector<int> ranks;
  for (const int source : all_ranks(capture)) {
    if (sender_of(capture, source) == source) ranks.push_back(source);
  }
  return ranks;
}

bool chooses_rank(const Capture& capture, const ExpertMap& experts, DueRow due, int rank) {
  for (int slot = 0; slot < capture.top_k; ++slot) {
    const int expert = expert_of(capture, due.source, due.row, slot);
    if (expert >= 0 && experts.rank_of[static_cast<std::size_t>(expert)] == rank) return true;
  }
  return false;
}

Place standard_place(const Capture& capture, const ExpertMap& experts, int rank, bool in_columns) {
  Place place{.rank = rank};
  place.size = capture.ranks[static_cast<std::size_t>(rank)].dispatched.rows;
  place.valid = place.size;
  for (const int source : sources_of(capture, rank, in_columns)) {
    const Count rows = capture.ranks[static_cast<std::size_t>(source)].hidden_states.rows;
    for (Count row = 0; row < rows; ++row) {
      if (capture.contract.delivery == Delivery::every_rank ||
          chooses_rank(capture, experts, {source, row}, rank)) {
        place.due.push_back({source, row});
      }
    }
  }
  return place;
}

Place expert_place(const Capture& capture, int rank, int local_expert) {
  Place place{.rank = rank, .local_expert = local_expert, .first = local_expert * capture.capacity};
  place.size = capture.capacity;
  const CapturedRank& here = capture.ranks[static_cast<std::size_t>(rank)];
  place.valid = (*here.expert_num_tokens)[static_cast<std::size_t>(local_expert)];
  return place;
}

// The places of a rank's experts, and in each the choices of it.
void add_expert_places(const Capture& capture, const ExpertMap& experts,
                       std::vector<Place>& places) {
  std::vector<std::size_t> place_of(static_cast<std::size_t>(capture.num_experts));
  std::vector<std::size_t> first_of;
  for (int rank = 0; rank < capture.ep_size(); ++rank) {
    first_of.push_back(places.size());
    const int local = experts.num_local_experts[static_cast<std::size_t>(rank)];
    for (int expert = 0; expert < local; ++expert) {
      places.push_back(expert_place(capture, rank, expert));
    }
  }
  for (std::size_t expert = 0; expert < place_of.size(); ++expert) {
    place_of[expert] = first_of[static_cast<std::size_t>(experts.rank_of[expert])] +
                       static_cast<std::size_t>(experts.local_of[expert]);
  }
  for (const int source : sources_of(capture, 0, false)) {
    const Count rows = capture.ranks[static_cast<std::size_t>(source)].hidden_states.rows;
    for (Count row = 0; row < rows; ++row) {
      for (int slot = 0; slot < capture.top_k; ++slot) {
        const int expert = expert_of(capture, source, row, slot);
        if (expert < 0) continue;
        places[place_of[static_cast<std::size_t>(expert)]].due.push_back({source, row, slot});
      }
    }
  }
}

}  // namespace

ExpertMap expert_map_of(const Capture& capture) {
  const int ranks = capture.ep_size();
  ExpertMap map;
  map.num_local_experts.assign(static_cast<std::size_t>(ranks), capture.num_experts / ranks);
  for (int rank = 0; rank < capture.num_experts % ranks; ++rank) {
    ++map.num_local_experts[static_cast<std::size_t>(rank)];
  }
  int owner = 0;
  int local = 0;
  for (int expert = 0; expert < capture.num_experts; ++expert) {
    if (capture.placement == Placement::round_robin) {
      map.rank_of.push_back(expert % ranks);
      map.local_of.push_back(expert / ranks);
      continue;
    }
    while (local == map.num_local_experts[static_cast<std::size_t>(owner)]) {
      ++owner;
      local = 0;
    }
    map.rank_of.push_back(owner);
    map.local_of.push_back(local++);
  }
  return map;
}

int expert_of(const Capture& capture, int rank, Count row, int topk_slot) {
  const CapturedRank& source = capture.ranks[static_cast<std::size_t>(rank)];
  const std::int64_t id =
      source.topk_ids[static_cast<std::size_t>(row * capture.top_k + topk_slot)];
  return id < 0 || id >= capture.num_experts ? -1 : static_cast<int>(id);
}

int sender_of(const Capture& capture, int rank) {
  return capture.contract.tp_peers_send_once ? rank - rank % capture.tp_size : rank;
}

std::vector<ShippedRows> shipped_rows(const Capture& capture) {
  std::vector<ShippedRows> shipped;
  for (const CapturedRank& rank : capture.ranks) {
    if (capture.quantization == Quantization::none) {
      shipped.push_back({rank.hidden_states, {}});
      continue;
    }
    const CapturedRows& from = rank.hidden_states;
    ShippedRows rows{{DType::f8e4m3, from.rows, from.columns, {}}, {}};
    for (Count row = 0; row < from.rows; ++row) {
      const QuantisedRow quantised = quantised_block128(floats_of(from, row));
      rows.rows.bytes.insert(rows.rows.bytes.end(), quantised.codes.begin(), quantised.codes.end());
      rows.scales.insert(rows.scales.end(), quantised.scales.begin(), quantised.scales.end());
    }
    shipped.push_back(std::move(rows));
  }
  return shipped;
}

std::vector<Place> places_of(const Capture& capture, const ExpertMap& experts) {
  std::vector<Place> places;
  if (capture.contract.delivery == Delivery::experts) {
    add_expert_places(capture, experts, places);
    return places;
  }
  const bool in_columns = gathers_in_columns(capture);
  for (int rank = 0; rank < capture.ep_size(); ++rank) {
    places.push_back(standard_place(capture, experts, rank, in_columns));
  }
  return places;
}

bool is_due_in(const Place& place, const DueRow& row) {
  return std::ranges::any_of(
      place.due, [&](const DueRow& due) { return due.source == row.source && due.row == row.row; });
}

RowIndex index_of(const std::vector<ShippedRows>& shipped) {
  RowIndex index;
  for (int rank = 0; rank < std::ssize(shipped); ++rank) {
    const CapturedRows& rows = shipped[static_cast<std::size_t>(rank)].rows;
    for (Count row = 0; row < rows.rows; ++row) {
      index[key_of(rows.row(row))].push_back({rank, row});
    }
  }
  return index;
}

}  // namespace moe::golden
