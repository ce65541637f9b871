// NcclRowWindows: the places of a group's rows in a symmetric window of NCCL's, the calls that go
// from there, and which of these are faster than calls between any two buffers. Beside the group's
// own communicator, which knows no window: NCCL takes its kernels for windows wherever it knows
// that rows lie in some, and no abort ends these kernels. nccl_communicator.cc uses it.

#pragma once

#include <memory>

#include "comm/nccl_window.h"
#include "comm/row_places.h"

namespace moe {

// LIFETIME: group and memory outlive it.
class NcclRowWindows {
 public:
  // comm: of the same ranks, for calls on windows alone. Collective. Throws SystemError where there
  // are no windows between them.
  NcclRowWindows(NcclGroup& group, ncclComm_t comm, WindowRank at, Memory& memory);

  ncclComm_t comm() const { return comm_; }
  Memory& memory_for(RowPlace place) { return places_->memory_for(place); }

  // Whether a call goes from the window: the same on all ranks, since it follows from the counts,
  // and from tensors that lie at their places on all ranks or on none.
  bool carries(Tensors rows, RowCounts rows_per_rank, Tensors gathered) const;
  bool carries(const Tensor& rows, RowCounts rows_per_rank, const Tensor& own) const;

  // The rows that go in, or a copy of them, in the window.
  Tensor brought(const Tensor& rows, int index) const;

  // Where this rank's sums come in the window; the caller copies them where it wants them, if that
  // is elsewhere.
  Tensor arriving(const Tensor& own) const;

 private:
  ncclComm_t comm_;
  Memory& memory_;
  std::unique_ptr<SymmetricMemory> window_;
  std::unique_ptr<RowPlaces> places_;
};

}  // namespace moe
