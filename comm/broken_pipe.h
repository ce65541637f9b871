// QuietBrokenPipe: while it lives, a write of this thread to a closed connection is an error and no
// SIGPIPE. For libraries that write without asking for that; threads started meanwhile keep it.

#pragma once

#include <csignal>

namespace moe {

class QuietBrokenPipe {
 public:
  QuietBrokenPipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~QuietBrokenPipe() {
    if (sigismember(&before_, SIGPIPE) == 1) return;
    constexpr timespec at_once{};
    sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  QuietBrokenPipe(const QuietBrokenPipe&) = delete;
  QuietBrokenPipe& operator=(const QuietBrokenPipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
};

}  // namespace moe
