// Tags by address. Only sums over ranks and additions of two tensors look at them; what is said is
// read by whoever made the tags.

#include "backends/parallel/sharing.h"

#include <utility>

#include "comm/forwarding_communicator.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

std::string_view name_of(Axis axis) {
  if (axis == Axis::dp) return "DP";
  return axis == Axis::pcp ? "PCP" : "TP";
}

int size_of_axis(Axis axis, const ParallelSizes& sizes) {
  if (axis == Axis::dp) return sizes.dp;
  return axis == Axis::pcp ? sizes.pcp : sizes.tp;
}

// Says to the tags what each sum adds up, then lets the group do it.
class TaggedCommunicator final : public ForwardingCommunicator {
 public:
  TaggedCommunicator(std::unique_ptr<Communicator> inner, Axes axes, SharingTags& tags)
      : ForwardingCommunicator(std::move(inner)), axes_(std::move(axes)), tags_(tags) {}

 private:
  void do_reduce_scatter_v(const Tensor& rows, RowCounts rows_per_rank,
                           const Tensor& own) override {
    tags_.summed(rows, own, axes_, Sharing::token_sharded);
    inner().reduce_scatter_v(rows, rows_per_rank, own);
  }
  void do_all_reduce(const Tensor& in, ReduceOp op, const Tensor& out) override {
    const bool is_of_rows = in.dtype <= DType::f16;  // not of counts
    if (op == ReduceOp::sum && is_of_rows) tags_.summed(in, out, axes_, Sharing::replicated);
    inner().all_reduce(in, op, out);
  }

  Axes axes_;
  SharingTags& tags_;
};

}  // namespace

std::string_view name_of(Sharing sharing) {
  if (sharing == Sharing::replicated) return "replicated";
  return sharing == Sharing::token_sharded ? "token-sharded" : "partial";
}

Sharing& RowSharing::on(Axis axis) {
  if (axis == Axis::dp) return dp;
  return axis == Axis::pcp ? pcp : tp;
}

Axes axes_of(GroupKind kind, const ParallelSizes& sizes) {
  Axes axes;
  for (const Axis axis : {Axis::dp, Axis::pcp, Axis::tp}) {
    const bool is_it = kind == GroupKind::ep || (kind == GroupKind::dp && axis == Axis::dp) ||
                       (kind == GroupKind::pcp && axis == Axis::pcp) ||
                       (kind == GroupKind::tp && axis == Axis::tp);
    if (is_it && size_of_axis(axis, sizes) > 1) axes.push_back(axis);
  }
  return axes;
}

Axes SharingTags::axes() const { return axes_of(GroupKind::ep, sizes_); }

void SharingTags::tag(const Tensor& rows, const RowSharing& sharing) {
  if (rows.rows > 0) tags_[rows.data] = sharing;
}

void SharingTags::made_by_experts(const Tensor& rows) {
  RowSharing sharing;
  for (const Axis axis : axes()) sharing.on(axis) = Sharing::partial;
  tag(rows, sharing);
}

void SharingTags::copied(const Tensor& from, const Tensor& to) {
  if (const RowSharing* sharing = find(from)) tag(to, *sharing);
}

void SharingTags::sharded(const Tensor& rows, const Axes& axes) {
  const auto found = tags_.find(rows.data);
  if (found == tags_.end()) return;
  for (const Axis axis : axes) found->second.on(axis) = Sharing::token_sharded;
}

void SharingTags::handed_on_by_one(const Tensor& rows, Axis axis) {
  const auto found = tags_.find(rows.data);
  if (found != tags_.end()) found->second.on(axis) = Sharing::partial;
}

const RowSharing* SharingTags::find(const Tensor& rows) const {
  const auto found = tags_.find(rows.data);
  return found == tags_.end() ? nullptr : &found->second;
}

void SharingTags::violation(const Tensor& rows, const std::string& what) {
  violations_.push_back(text(shape_text(rows), " ", what));
}

void SharingTags::expect_partial(const Tensor& rows, const Axes& axes) {
  const RowSharing* sharing = find(rows);
  if (sharing == nullptr) return violation(rows, "is summed over ranks, and nothing says how");
  for (const Axis axis : axes) {
    if (sharing->on(axis) == Sharing::partial) continue;
    violation(rows, text("is summed over ", name_of(axis), ", where it is ",
                         name_of(sharing->on(axis)), "; only partial rows may be summed"));
  }
}

void SharingTags::summed(const Tensor& in, const Tensor& out, const Axes& axes,
                         Sharing afterwards) {
  if (in.rows == 0) return;
  expect_partial(in, axes);
  const RowSharing* before = find(in);
  RowSharing sharing = before == nullptr ? RowSharing{} : *before;
  for (const Axis axis : axes) sharing.on(axis) = afterwards;
  tag(out, sharing);
}

void SharingTags::added(const Tensor& rows, const Tensor& to) {
  const RowSharing* left = find(rows);
  const RowSharing* right = find(to);
  if (to.rows == 0) return;
  if (left == nullptr || right == nullptr) {
    return violation(rows, "is added to other rows, and nothing says how they are shared");
  }
  for (const Axis axis : axes()) {
    if (left->on(axis) == right->on(axis)) continue;
    violation(rows, text("is ", name_of(left->on(axis)), " over ", name_of(axis),
                         " and is added to rows that are ", name_of(right->on(axis))));
  }
}

void SharingTags::leave(const Tensor& rows) {
  const RowSharing* sharing = find(rows);
  if (rows.rows == 0) return;
  if (sharing == nullptr) return violation(rows, "leaves the layer, and nothing says how");
  for (const Axis axis : axes()) {
    if (sharing->on(axis) != Sharing::partial) continue;
    violation(rows, text("leaves the layer partial over ", name_of(axis)));
  }
}

std::vector<std::string> SharingTags::take_violations() { return std::exchange(violations_, {}); }

std::unique_ptr<Communicator> with_sharing_tags(std::unique_ptr<Communicator> group, Axes axes,
                                                SharingTags& tags) {
  return std::make_unique<TaggedCommunicator>(std::move(group), std::move(axes), tags);
}

}  // namespace moe
