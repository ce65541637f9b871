// A communicator that has places for rows, as NCCL has in its windows, and notes which rows of each
// call lie there. Moves them as the communicator inside does. Tests only.

#pragma once

#include <string>
#include <vector>

#include "comm/forwarding_communicator.h"
#include "comm/row_places.h"
#include "kernels/base/buffer.h"
#include "kernels/base/text.h"

namespace moe::test {

class PlacedCommunicator final : public ForwardingCommunicator {
 public:
  // notes: "asks", for a place; "gather in in elsewhere -> in in in", a line for each list that is
  // gathered and each sum that is scattered; single tensors are not noted, which are the checks'
  // own.
  PlacedCommunicator(std::unique_ptr<Communicator> inner, std::vector<std::string>& notes)
      : ForwardingCommunicator(std::move(inner)),
        block_(memory(), {1, RowPlaces::block_bytes(room, size()), DType::u8}),
        places_(memory(), block_.tensor(), room, size()),
        notes_(notes) {}

  Memory& memory_for(RowPlace place) override {
    notes_.push_back("asks");
    return places_.memory_for(place);
  }

 private:
  static constexpr RowRoom room = {1 << 14, 1 << 12, 1 << 14};

  void do_all_gather_v(Tensors rows, RowCounts rows_per_rank, Tensors gathered) override {
    if (rows.size() > 1) {
      notes_.push_back(text("gather", words(rows), " ->", words(gathered)));
    }
    inner().all_gather_v(rows, rows_per_rank, gathered);
  }

  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    notes_.push_back(text("scatter", words({&rows, 1}), " ->", words({&own, 1})));
    inner().reduce_scatter_v(rows, rows_per_rank, own);
  }

  void do_all_to_all_v(Tensors sent, RowCounts rows_to, RowCounts rows_from,
                       Tensors received) override {
    notes_.push_back("exchange");
    inner().all_to_all_v(sent, rows_to, rows_from, received);
  }

  void do_broadcast(Tensors rows, int root) override {
    notes_.push_back("broadcast");
    inner().broadcast(rows, root);
  }

  std::string words(Tensors tensors) const {
    std::string all;
    for (const Tensor& tensor : tensors) all += places_.holds(tensor) ? " in" : " elsewhere";
    return all;
  }

  Buffer block_;
  RowPlaces places_;
  std::vector<std::string>& notes_;
};

}  // namespace moe::test
