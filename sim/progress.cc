// The display: a thread that rewrites its line a few times a second, and takes it away whenever a
// result is printed.

#include "sim/progress.h"

#include <chrono>
#include <ostream>

#include "kernels/base/text.h"

namespace moe::sim {
namespace {

constexpr std::chrono::milliseconds between_lines(200);
constexpr std::size_t width_max = 100;  // a line that wraps could not be taken away

}  // namespace

ProgressDisplay::ProgressDisplay(std::ostream* stream, Count lines)
    : stream_(stream), lines_(lines) {
  if (stream_ == nullptr) return;
  thread_ = std::jthread([this](const std::stop_token& told) { show_until_told(told); });
}

ProgressDisplay::~ProgressDisplay() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  erase();
}

std::string ProgressDisplay::words() const {
  const std::lock_guard lock(mutex_);
  return words_locked();
}

std::string ProgressDisplay::words_locked() const {
  if (running_.empty()) return "";
  const Running& oldest = running_.front();
  std::string words = text("[", begun_, "/", lines_, "] ", oldest.work.words);
  const Count rows = oldest.progress.rows.load();
  if (rows > 0 && oldest.work.rows > 0) {
    words += text(", step ", oldest.progress.steps.load(), " of ", oldest.work.steps, ", ",
                  100 * rows / oldest.work.rows, " % judged");
  }
  if (words.size() > width_max) words.resize(width_max);
  return words;
}

void ProgressDisplay::show_until_told(const std::stop_token& told) {
  std::unique_lock lock(mutex_);
  while (!told.stop_requested()) {
    changed_.wait_for(lock, told, between_lines, [] { return false; });
    const std::string words = words_locked();
    if (told.stop_requested() || words.empty()) continue;
    *stream_ << "\r\x1b[K" << words << std::flush;
    is_shown_ = true;
  }
}

void ProgressDisplay::erase() {
  if (!is_shown_) return;
  *stream_ << "\r\x1b[K" << std::flush;
  is_shown_ = false;
}

ProgressDisplay::Line::Line(ProgressDisplay* display, LineWork work) : display_(display) {
  if (display_ == nullptr) return;
  const std::lock_guard lock(display_->mutex_);
  ++display_->begun_;
  at_ = display_->running_.emplace(display_->running_.end());
  at_->work = std::move(work);
}

ProgressDisplay::Line::~Line() {
  if (display_ == nullptr) return;
  const std::lock_guard lock(display_->mutex_);
  display_->running_.erase(at_);
}

LineProgress* ProgressDisplay::Line::progress() const {
  return display_ == nullptr ? nullptr : &at_->progress;
}

}  // namespace moe::sim
