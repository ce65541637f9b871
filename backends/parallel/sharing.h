// Sharing: how the ranks of an axis of the rank grid hold a tensor's rows, as a tag beside the
// tensor. A sum over ranks is legal only where each rank holds a part of it (design.md, 2). Tags
// are set where tensors are made and read at every reduction; they change no byte.

#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/parallel/rank_grid.h"
#include "comm/communicator.h"

namespace moe {

// replicated: the same rows with the same values. token_sharded: rows of other tokens. partial:
// the same rows, whose values must be added.
enum class Sharing { replicated, token_sharded, partial };
std::string_view name_of(Sharing sharing);

enum class Axis { dp, pcp, tp };
using Axes = std::vector<Axis>;

// On each axis; what an axis of one rank says means nothing.
struct RowSharing {
  Sharing dp = Sharing::replicated;
  Sharing pcp = Sharing::replicated;
  Sharing tp = Sharing::replicated;

  Sharing& on(Axis axis);
  Sharing on(Axis axis) const { return RowSharing(*this).on(axis); }
};

// The axes of more than one rank that a group of that kind joins.
Axes axes_of(GroupKind kind, const ParallelSizes& sizes);

// The tags of one rank's tensors within one layer, by the place of their rows. A tensor without
// rows needs no tag: there is nothing to add wrongly.
class SharingTags {
 public:
  explicit SharingTags(const ParallelSizes& sizes) : sizes_(sizes) {}

  // Forgets the tensors of the layer before.
  void begin_layer() { tags_.clear(); }

  void tag(const Tensor& rows, const RowSharing& sharing);
  // Each rank of every axis has some of the experts, or a shard of all, and all dispatched rows.
  void made_by_experts(const Tensor& rows);
  // The same values in another place.
  void copied(const Tensor& from, const Tensor& to);

  // rows are a rank's own out of those that all ranks of the axes have.
  void sharded(const Tensor& rows, const Axes& axes);
  // One rank of the axis keeps the rows, the others have zeros in their place.
  void handed_on_by_one(const Tensor& rows, Axis axis);

  // out is the sum of in over the ranks of those axes, and shared like that afterwards.
  void summed(const Tensor& in, const Tensor& out, const Axes& axes, Sharing afterwards);
  // rows are added to others, on this rank alone: both must be shared alike.
  void added(const Tensor& rows, const Tensor& to);
  // rows leave the layer: no sum may be missing.
  void leave(const Tensor& rows);

  // What was wrong since the last call, in the order in which it happened.
  std::vector<std::string> take_violations();

 private:
  Axes axes() const;
  const RowSharing* find(const Tensor& rows) const;
  void expect_partial(const Tensor& rows, const Axes& axes);
  void violation(const Tensor& rows, const std::string& what);

  ParallelSizes sizes_;
  std::map<const void*, RowSharing> tags_;
  std::vector<std::string> violations_;
};

// A group whose sums tell the tags. axes: those that it joins. LIFETIME: the tags outlive it.
std::unique_ptr<Communicator> with_sharing_tags(std::unique_ptr<Communicator> group, Axes axes,
                                                SharingTags& tags);

}  // namespace moe
