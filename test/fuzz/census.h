#pragma once

#include <dirent.h>

#include <chrono>
#include <cstddef>
#include <thread>

#include "require.h"

using Clock = std::chrono::steady_clock;

// For a busy machine to get round to it.
constexpr double kMarginMs = 2'000;

inline double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

inline size_t Entries(const char* folder) {
  DIR* open = opendir(folder);
  Require(open != nullptr, "a folder of /proc can be read");
  size_t entries = 0;
  while (readdir(open) != nullptr) ++entries;
  closedir(open);
  return entries;
}

// The threads and descriptors of this process.
struct Census {
  size_t threads = Entries("/proc/self/task");
  size_t descriptors = Entries("/proc/self/fd");
};

// Requires that there soon be as many of them as before.
inline void RequireAsBefore(const Census& before) {
  const Clock::time_point start = Clock::now();
  for (Census now; now.threads != before.threads || now.descriptors != before.descriptors;) {
    Require(MsSince(start) <= kMarginMs, "no thread and no descriptor is left behind");
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    now = {};
  }
}
