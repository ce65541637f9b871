// What was measured, as sizes; NCCL's symmetric kernels want equal counts (ncclAllGather and
// ncclReduceScatter alone have them) and rows that peers touch at the same offset on every rank.

#include "comm/nccl_row_windows.h"

#include "comm/row_counts.h"

namespace moe {
namespace {

// Where windows were the faster way, by bytes of one rank's rows, all tensors of a call together
// (two H100s, NCCL 2.28.9, replayed calls: tests/device/RESULTS.md). Of sums NCCL's kernels for
// windows send the smallest as messages; larger ones, and gathers, load and store the peer's
// memory, which pays from a size on and until NCCL's usual rings catch up.
struct Sizes {
  Count small_max;
  Count large_min;
  Count large_max;

  bool contain(Count bytes) const {
    return bytes > 0 && (bytes <= small_max || (bytes >= large_min && bytes <= large_max));
  }
};
constexpr Count kib = Count{1} << 10U;
constexpr Sizes gathered_sizes = {0, 96 * kib, 36 * 1024 * kib};
constexpr Sizes scattered_sizes = {32 * kib, 768 * kib, 2816 * kib};

constexpr RowRoom room = {.first_gathered = gathered_sizes.large_max,
                          .others_gathered = 2048 * kib,
                          .scattered = scattered_sizes.large_max};

}  // namespace

NcclRowWindows::NcclRowWindows(NcclGroup& group, ncclComm_t comm, WindowRank at, Memory& memory)
    : comm_(comm), memory_(memory) {
  const Count bytes = RowPlaces::block_bytes(room, at.size);
  window_ = make_nccl_window(group, comm, at, memory, bytes);
  places_ = std::make_unique<RowPlaces>(memory, window_->part(at.rank), room, at.size);
}

bool NcclRowWindows::carries(Tensors rows, RowCounts rows_per_rank, Tensors gathered) const {
  Count bytes = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    bytes += bytes_of(rows[i]);
    const int index = static_cast<int>(i);
    if (!places_->has_at({RowsAre::gathered, index}, gathered[i])) return false;
    if (!places_->spare(rows[i], {RowsAre::to_gather, index})) return false;
  }
  return are_equal(rows_per_rank) && gathered_sizes.contain(bytes);
}

bool NcclRowWindows::carries(const Tensor& rows, RowCounts rows_per_rank, const Tensor& own) const {
  return are_equal(rows_per_rank) && places_->has_at({RowsAre::to_scatter}, rows) &&
         scattered_sizes.contain(bytes_of(own));
}

Tensor NcclRowWindows::brought(const Tensor& rows, int index) const {
  if (places_->holds(rows)) return rows;
  const Tensor spare = places_->spare(rows, {RowsAre::to_gather, index}).value();
  memory_.copy(rows, spare);
  return spare;
}

Tensor NcclRowWindows::arriving(const Tensor& own) const {
  if (places_->holds(own)) return own;
  return places_->spare(own, {RowsAre::scattered}).value();
}

}  // namespace moe
