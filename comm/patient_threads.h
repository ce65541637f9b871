// PatientThreads: threads that start while it lives do not take a core from a running thread when
// they wake up; they get their turn when it waits, or when its share is used up. For threads of
// libraries that would only spin on what the running thread holds.

#pragma once

#include <pthread.h>
#include <sched.h>

namespace moe {

class PatientThreads {
 public:
  PatientThreads() {
    pthread_getschedparam(pthread_self(), &policy_, &parameters_);
    if (policy_ == SCHED_OTHER) pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters_);
  }
  ~PatientThreads() { pthread_setschedparam(pthread_self(), policy_, &parameters_); }
  PatientThreads(const PatientThreads&) = delete;
  PatientThreads& operator=(const PatientThreads&) = delete;

 private:
  int policy_ = SCHED_OTHER;
  sched_param parameters_{};
};

}  // namespace moe
