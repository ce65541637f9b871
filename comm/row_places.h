// RowPlaces: where the tensors of a group's calls lie in one block of memory, at the same offset on
// every rank. A place holds one Buffer at a time; what does not fit lies in the rank's own memory.
// Libraries that move rows faster from such places ask which tensors are there.

#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// Bytes of one rank's rows that a place has room for; of what all ranks' rows make, as many times
// the ranks. Tensors of a gathered list behind the first are small: ids, weights, scales, tags.
struct RowRoom {
  Count first_gathered = 0;
  Count others_gathered = 0;
  Count scattered = 0;
};

// LIFETIME: memory and block outlive it, and it outlives what lies there.
class RowPlaces {
 public:
  // Bytes of a block for so many ranks. Guard rows (buffer.h) have room beside the rows.
  static Count block_bytes(const RowRoom& room, int num_ranks);

  // block: as many bytes, one row, in memory's device.
  RowPlaces(Memory& memory, const Tensor& block, const RowRoom& room, int num_ranks);
  ~RowPlaces();
  RowPlaces(const RowPlaces&) = delete;
  RowPlaces& operator=(const RowPlaces&) = delete;

  // memory, where there is no such place.
  Memory& memory_for(RowPlace place);

  // Whether all of the tensor lies somewhere in the block, or at that place. One without rows does.
  bool holds(const Tensor& tensor) const;
  bool has_at(RowPlace place, const Tensor& tensor) const;

  // Rows like these in the block, which nobody else has: for those that are to be moved from or to
  // the block and do not lie in it. Stays until the same index is asked again. Nothing: no room.
  std::optional<Tensor> spare(const Tensor& like, RowPlace place) const;

 private:
  class Place;

  // In places_ and spares_; nothing: there is no such place.
  static std::optional<std::size_t> number_of(RowPlace place);

  Memory& memory_;
  Tensor block_;
  std::vector<std::unique_ptr<Place>> places_;  // in the order in which they lie
  std::vector<Tensor> spares_;                  // likewise; empty for rows that peers' calls touch
};

}  // namespace moe
