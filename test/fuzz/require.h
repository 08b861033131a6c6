#pragma once

#include <cstdio>
#include <cstdlib>

// Aborts the program if a condition does not hold. libFuzzer then saves the input.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "It does not hold that %s\n", what);
  std::abort();
}
