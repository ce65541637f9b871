// The rank's thread only writes down what it enters; marks are set by the watch, so that a queued
// operation costs the rank no call into the device. A mark covers what was queued since the one
// before it: where that is more than one operation, the words say so. The device is asked without
// the lock of what is pending: a driver may let nobody in while a call of the rank's waits in it (a
// copy to the host's memory behind an operation does), and that call ends with the cut only.

#include "comm/operation_watch.h"

#include <algorithm>

#include "comm/failure_notes.h"
#include "kernels/base/text.h"

namespace moe {
namespace {

constexpr int turns_when_idle = 10;  // in one look's place, where nothing is pending

}  // namespace

OperationWatch::OperationWatch(WatchSettings settings, WatchedWire& wire, const PeerNews& news)
    : settings_(settings),
      wire_(wire),
      news_(news),
      thread_([this](const std::stop_token& told) { look_until(told); }) {}

// A mark under way is behind it: nothing of the watch's gets into a recording.
void OperationWatch::pause() {
  const std::lock_guard asking(asking_);
  const std::lock_guard lock(mutex_);
  ++num_pauses_;
}

void OperationWatch::resume() {
  const std::lock_guard lock(mutex_);
  --num_pauses_;
}

void OperationWatch::enter(Operation operation, int peer, LookedAfter how) {
  std::unique_lock lock(mutex_);
  throw_if_broken(lock);
  pending_.push_back({number_++, num_collectives_, operation, peer, Clock::now(), how, false});
  if (is_collective(operation)) ++num_collectives_;
}

void OperationWatch::leave(Queued how) {
  const std::lock_guard lock(mutex_);
  if (pending_.empty()) return;
  if (how == Queued::recorded) {
    pending_.pop_back();
  } else {
    pending_.back().is_queued = true;
  }
}

void OperationWatch::check() {
  std::unique_lock lock(mutex_);
  throw_if_broken(lock);
  std::erase_if(pending_, [](const Pending& pending) { return pending.is_queued; });
}

void OperationWatch::throw_if_broken(std::unique_lock<std::mutex>& lock) {
  if (state_ == State::whole && !wire_.is_cut()) return;
  if (state_ == State::whole) {
    const std::string where = pending_.empty() ? "between operations" : at(pending_.front());
    give_up(lock, where, "another group of this rank has failed, and this one with it");
  }
  told_.wait(lock, [this] { return state_ == State::broken; });
  throw SystemError(words_);
}

bool OperationWatch::is_broken() const {
  const std::lock_guard lock(mutex_);
  return state_ != State::whole;
}

Count OperationWatch::num_collectives() const {
  const std::lock_guard lock(mutex_);
  const bool is_whole = state_ == State::whole || pending_.empty();
  return is_whole ? num_collectives_ : pending_.front().collective;
}

void OperationWatch::fail(const std::optional<std::string>& why) {
  std::unique_lock lock(mutex_);
  if (state_ == State::whole) {
    const std::string where = pending_.empty() ? "no operation" : at(pending_.back());
    give_up(lock, where, why);
  }
  throw_if_broken(lock);
  throw SystemError("the group is broken");
}

void OperationWatch::look_until(const std::stop_token& told) {
  std::unique_lock lock(mutex_);
  while (!told.stop_requested() && state_ == State::whole) {
    const auto turn = pending_.empty() ? settings_.turn * turns_when_idle : settings_.turn;
    told_.wait_for(lock, told, turn, [] { return false; });
    if (state_ == State::whole && !pending_.empty()) look(lock);
  }
}

void OperationWatch::look(std::unique_lock<std::mutex>& lock) {
  ask_device(lock);
  if (state_ == State::whole) judge(lock);
}

// While the device does not answer, the deadline counts from beside.
void OperationWatch::ask_device(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  {
    const StuckWatch::Work asked(stuck_, [this, begin = Clock::now()] {
      std::unique_lock beside(mutex_);
      end_if_silent(beside, begin);
    });
    mark_queued();
    drop_done();
  }
  lock.lock();
}

// What is pending may be done already: so it has the deadline from the question on.
void OperationWatch::end_if_silent(std::unique_lock<std::mutex>& lock, Clock::time_point asked) {
  if (state_ != State::whole || !is_looked_after()) return;
  const Pending& oldest = pending_.front();
  if (Clock::now() - std::max(oldest.since, asked) <= settings_.deadline) return;
  give_up(lock, at(oldest), std::nullopt);
}

bool OperationWatch::is_looked_after() const {
  if (pending_.empty()) return false;
  return pending_.front().is_queued || pending_.front().how == LookedAfter::by_watch;
}

void OperationWatch::judge(std::unique_lock<std::mutex>& lock) {
  if (!is_looked_after()) return;
  const Pending oldest = pending_.front();
  const auto now = Clock::now();
  if (now - oldest.since > settings_.deadline) return give_up(lock, at(oldest), std::nullopt);
  if (now - oldest.since < settings_.patience || now - asked_ < settings_.patience) return;
  asked_ = now;
  const auto why = absence(lock);
  if (!why || state_ != State::whole) return;
  // It may have ended while peers were asked after.
  ask_device(lock);
  if (state_ != State::whole) return;
  if (pending_.empty() || pending_.front().number != oldest.number) return;
  give_up(lock, at(pending_.front()), why);
}

// Of several operations in one mark the last collective counts: a peer that left before it ends
// what the mark waits for, though it did its part of the first. A message may be one of those that
// are done, so that only one that is alone says something of its peer.
std::optional<std::string> OperationWatch::absence(std::unique_lock<std::mutex>& lock) {
  const Pending& oldest = pending_.front();
  const Count last = last_in_mark_of(oldest);
  std::optional<Count> collective;
  int peer = oldest.peer;
  if (last == oldest.number) {
    collective = oldest.collective;
  } else {
    peer = -1;
    for (const Pending& pending : pending_) {
      if (pending.number > last) break;
      if (is_collective(pending.operation)) collective = pending.collective;
    }
  }
  if (!collective) return std::nullopt;
  lock.unlock();
  auto why = news_.absence(*collective, peer);
  lock.lock();
  return why;
}

// Calls of the rank are in order: nothing behind one that is not queued yet is. What is queued
// while the mark is set is before it or behind it, and has one of its own.
void OperationWatch::mark_queued() {
  const std::lock_guard asking(asking_);
  std::unique_lock lock(mutex_);
  if (num_pauses_ > 0) return;
  Count last = last_marked_;
  for (const Pending& pending : pending_) {
    if (!pending.is_queued) break;
    last = pending.number;
  }
  if (last <= last_marked_ || state_ != State::whole) return;
  marks_.push_back(last);
  last_marked_ = last;
  lock.unlock();
  wire_.mark();
}

// Marks before it are of operations that the rank itself has waited for.
Count OperationWatch::last_in_mark_of(const Pending& pending) const {
  const auto mark = std::ranges::lower_bound(marks_, pending.number);
  return mark == marks_.end() || !pending.is_queued ? pending.number : *mark;
}

// What waited behind an operation that is done now has its deadline from now on.
void OperationWatch::drop_done() {
  std::unique_lock lock(mutex_);
  bool has_dropped = false;
  while (!marks_.empty() && state_ == State::whole) {
    lock.unlock();
    const bool is_past = wire_.passes_mark();
    lock.lock();
    if (!is_past || state_ != State::whole || wire_.is_cut()) break;  // a cut ends the queue, too
    while (!pending_.empty() && pending_.front().number <= marks_.front()) {
      pending_.pop_front();
      has_dropped = true;
    }
    marks_.pop_front();
  }
  if (!has_dropped) return;
  for (Pending& pending : pending_) pending.since = Clock::now();
}

std::string OperationWatch::at(const Pending& oldest) const {
  const std::string one = text("operation ", oldest.number, " (", name_of(oldest.operation), ")");
  const Count last = last_in_mark_of(oldest);
  if (last == oldest.number) return one;
  return text(one, " or one of the ", last - oldest.number, " queued behind it");
}

// The rank's thread waits in check() until the words are there and the queue is over.
void OperationWatch::give_up(std::unique_lock<std::mutex>& lock, const std::string& operation,
                             const std::optional<std::string>& why) {
  const int peer = pending_.empty() ? -1 : pending_.front().peer;
  state_ = State::breaking;
  lock.unlock();
  const NewsGroup& group = news_.group();
  const int size = static_cast<int>(group.members.size());
  FailureNote note{operation, {}};
  for (int rank = 0; rank < size; ++rank) {
    if (rank != group.rank && (peer < 0 || rank == peer)) note.failure.silent.insert(rank);
  }
  const NoteWriter writer{group.name, group.rank, settings_.deadline};
  const std::string words = why ? *why : blame(note, writer, news_.store());
  const std::string said = text("rank ", group.rank, " of ", size, ": ", operation, ": ", words);
  wire_.say(said);
  wire_.cut();
  lock.lock();
  words_ = said;
  state_ = State::broken;
  told_.notify_all();
}

}  // namespace moe
