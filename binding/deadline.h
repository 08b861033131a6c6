#pragma once

#include <pthread.h>

#include <cmath>
#include <cstdint>
#include <ctime>
#include <mutex>

#include "glibc_compat.h"

namespace xen_block_stats {

// A point in time on CLOCK_MONOTONIC.
struct Deadline {
  timespec time;

  // The time this many milliseconds from now. It may be negative, and have fractions.
  explicit Deadline(double milliseconds_from_now) : Deadline(Now(), milliseconds_from_now) {}

  // The time this many milliseconds after another one.
  Deadline(timespec start, double milliseconds) : time(start) {
    const double seconds = std::floor(milliseconds / 1000);
    time.tv_sec += static_cast<time_t>(seconds);
    time.tv_nsec += static_cast<long>((milliseconds - seconds * 1000) * 1e6);
    if (time.tv_nsec >= 1000000000) {
      time.tv_nsec -= 1000000000;
      time.tv_sec += 1;
    }
  }

  // Returns the milliseconds from now; negative after the deadline.
  double MillisecondsLeft() const {
    const timespec now = Now();
    return static_cast<double>(time.tv_sec - now.tv_sec) * 1000 +
           static_cast<double>(time.tv_nsec - now.tv_nsec) / 1e6;
  }

  // Returns the time of this many nanoseconds on the clock.
  static Deadline At(int64_t nanoseconds) {
    return Deadline(timespec{static_cast<time_t>(nanoseconds / 1000000000),
                             static_cast<long>(nanoseconds % 1000000000)},
                    0);
  }

  // Returns the time of CLOCK_MONOTONIC, in nanoseconds.
  static int64_t NowNanoseconds() {
    const timespec now = Now();
    return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
  }

  // Returns the time of CLOCK_MONOTONIC.
  static timespec Now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now;
  }
};

// A condition variable on CLOCK_MONOTONIC. std::condition_variable needs glibc 2.30 for that clock.
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

  // Wakes all threads that wait.
  void Notify() { pthread_cond_broadcast(&condition_); }

  // Waits until done() returns true, or until the deadline. Returns the last result of done(),
  // which is called with the lock held.
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
