#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the program where something that must hold does not: libFuzzer keeps the input then.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "It does not hold that %s\n", what);
  std::abort();
}
