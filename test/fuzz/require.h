#pragma once

#include <cstdio>
#include <cstdlib>

// Aborts the program if a condition that must hold does not; libFuzzer then keeps the input.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "It does not hold that %s\n", what);
  std::abort();
}
