// How ranks that are threads meet: one mutex, one condition, every wait with a deadline but the
// last one of an operation, which only waits for copies that are under way.

#include "comm/local_group.h"

#include "kernels/base/text.h"

namespace moe {

LocalGroup::State::State(int size, std::chrono::milliseconds deadline)
    : deadline_(deadline),
      shown_(static_cast<std::size_t>(size), nullptr),
      arrived_(static_cast<std::size_t>(size), false),
      taken_(static_cast<std::size_t>(size), false),
      left_(static_cast<std::size_t>(size), false) {}

void LocalGroup::State::take(int rank) {
  const Lock lock(mutex_);
  MOE_CHECK(rank >= 0 && rank < size(), text("rank ", rank, " of a group of ", size(), " ranks"));
  const auto index = static_cast<std::size_t>(rank);
  MOE_CHECK(!taken_[index], text("the endpoint of rank ", rank, " is taken twice"));
  taken_[index] = true;
}

void LocalGroup::State::leave(int rank) {
  const Lock lock(mutex_);
  left_[static_cast<std::size_t>(rank)] = true;
  changed_.notify_all();
}

void LocalGroup::State::abort(const std::string& why) {
  const Lock lock(mutex_);
  break_group(why);
  for (const auto& child : children_) child->abort(why);
}

void LocalGroup::State::throw_if_broken() const {
  if (broken_) throw SystemError(*broken_);
}

void LocalGroup::State::break_group(const std::string& why) {
  if (!broken_) broken_ = why;
  changed_.notify_all();
}

void LocalGroup::State::fail(const std::string& why) {
  break_group(why);
  throw SystemError(*broken_);
}

std::vector<int> LocalGroup::State::absent_ranks() const {
  std::vector<int> absent;
  for (int rank = 0; rank < size(); ++rank) {
    if (!arrived_[static_cast<std::size_t>(rank)]) absent.push_back(rank);
  }
  return absent;
}

bool LocalGroup::State::somebody_will_not_come() const {
  for (std::size_t rank = 0; rank < left_.size(); ++rank) {
    if (left_[rank] && !arrived_[rank]) return true;
  }
  return false;
}

std::string LocalGroup::State::not_arrived(Operation operation) const {
  const std::string what = text("operation ", meetings_, " (", name_of(operation), ")");
  if (!somebody_will_not_come()) {
    return text(ranks_text(absent_ranks()), " did not reach ", what, " within ", deadline_.count(),
                " ms");
  }
  std::vector<int> gone;
  for (const int rank : absent_ranks()) {
    if (left_[static_cast<std::size_t>(rank)]) gone.push_back(rank);
  }
  return text(ranks_text(gone), " left the group before ", what);
}

void LocalGroup::State::enter(int rank, const Shown& shown) {
  Lock lock(mutex_);
  throw_if_broken();
  shown_[static_cast<std::size_t>(rank)] = &shown;
  arrived_[static_cast<std::size_t>(rank)] = true;
  if (++num_arrived_ == size()) {
    num_arrived_ = 0;
    num_inside_ = size();
    arrived_.assign(arrived_.size(), false);
    ++meetings_;
    changed_.notify_all();
    return;
  }
  const Count meeting = meetings_;
  changed_.wait_until(lock, std::chrono::steady_clock::now() + deadline_,
                      [&] { return meetings_ != meeting || broken_ || somebody_will_not_come(); });
  if (meetings_ != meeting) return;
  throw_if_broken();
  fail(not_arrived(shown.operation));
}

void LocalGroup::State::exit() {
  Lock lock(mutex_);
  if (--num_inside_ == 0) {
    changed_.notify_all();
  } else {
    changed_.wait(lock, [&] { return num_inside_ == 0; });
  }
}

std::string LocalGroup::State::current(int rank) {
  const Lock lock(mutex_);
  return text("operation ", meetings_ - 1, " (", name_of(shown_by(rank).operation), ")");
}

void LocalGroup::State::offer(std::pair<int, int> from_to, Tensors tensors) {
  Lock lock(mutex_);
  throw_if_broken();
  Offer offer{.tensors = tensors};
  offers_[from_to] = &offer;
  changed_.notify_all();
  const auto over = [&] {
    const bool receiver_gone = left_[static_cast<std::size_t>(from_to.second)];
    return offer.done || (!offer.being_taken && (broken_ || receiver_gone));
  };
  changed_.wait_until(lock, std::chrono::steady_clock::now() + deadline_, over);
  if (offer.being_taken) changed_.wait(lock, [&] { return offer.done; });
  offers_.erase(from_to);
  if (offer.done) return;
  throw_if_broken();
  const bool gone = left_[static_cast<std::size_t>(from_to.second)];
  const std::string what = text("recv from rank ", from_to.first);
  fail(gone ? text("rank ", from_to.second, " left the group before ", what)
            : text("rank ", from_to.second, " did not reach ", what, " within ", deadline_.count(),
                   " ms"));
}

Tensors LocalGroup::State::await_offer(std::pair<int, int> from_to) {
  Lock lock(mutex_);
  throw_if_broken();
  const auto offered = [&] {
    const auto found = offers_.find(from_to);
    return found != offers_.end() && !found->second->being_taken;
  };
  changed_.wait_until(lock, std::chrono::steady_clock::now() + deadline_, [&] {
    return broken_ || offered() || left_[static_cast<std::size_t>(from_to.first)];
  });
  throw_if_broken();
  if (offered()) {
    Offer& offer = *offers_.at(from_to);
    offer.being_taken = true;
    return offer.tensors;
  }
  const bool gone = left_[static_cast<std::size_t>(from_to.first)];
  const std::string what = text("send to rank ", from_to.second);
  fail(gone ? text("rank ", from_to.first, " left the group before ", what)
            : text("rank ", from_to.first, " did not reach ", what, " within ", deadline_.count(),
                   " ms"));
}

void LocalGroup::State::taken(std::pair<int, int> from_to) {
  const Lock lock(mutex_);
  offers_.at(from_to)->done = true;
  changed_.notify_all();
}

LocalGroup::State& LocalGroup::State::child(int color, int size) {
  const Lock lock(mutex_);
  State*& found = colors_[{meetings_, color}];
  if (found == nullptr) {
    found = children_.emplace_back(std::make_unique<State>(size, deadline_)).get();
    if (broken_) found->abort(*broken_);
  }
  return *found;
}

}  // namespace moe
