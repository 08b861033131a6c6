#pragma once

#include <pthread.h>

#include <cmath>
#include <ctime>
#include <mutex>

#include "old_systems.h"

namespace xen_block_stats {

// A moment on the clock that nobody sets.
struct Deadline {
  timespec time;

  explicit Deadline(double milliseconds_from_now) {
    clock_gettime(CLOCK_MONOTONIC, &time);
    const double seconds = std::floor(milliseconds_from_now / 1000);
    time.tv_sec += static_cast<time_t>(seconds);
    time.tv_nsec += static_cast<long>((milliseconds_from_now - seconds * 1000) * 1e6);
    if (time.tv_nsec >= 1000000000) {
      time.tv_nsec -= 1000000000;
      time.tv_sec += 1;
    }
  }

  double MillisecondsLeft() const {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(time.tv_sec - now.tv_sec) * 1000 +
           static_cast<double>(time.tv_nsec - now.tv_nsec) / 1e6;
  }
};

// std::condition_variable would do, but for waiting on the steady clock it needs glibc 2.30.
class Condition {
 public:
  Condition() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  ~Condition() { pthread_cond_destroy(&condition_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void Notify() { pthread_cond_broadcast(&condition_); }

  template <typename Predicate>
  void Wait(std::unique_lock<std::mutex>& lock, Predicate done) {
    while (!done()) pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }

  // Whether it was done before the deadline.
  template <typename Predicate>
  bool WaitUntil(std::unique_lock<std::mutex>& lock, const Deadline& deadline, Predicate done) {
    while (!done()) {
      if (pthread_cond_timedwait(&condition_, lock.mutex()->native_handle(), &deadline.time) != 0) {
        return done();
      }
    }
    return true;
  }

 private:
  pthread_cond_t condition_;
};

}  // namespace xen_block_stats
