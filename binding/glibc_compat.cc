// What the headers of a new libstdc++ refer to and an old one does not have; see glibc_compat.h.

#include <new>

// Tells std::shared_ptr that it needs no atomic operations (glibc 2.32). It always does here.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;

namespace std {

// Called by allocators for impossible sizes (GLIBCXX_3.4.29).
__attribute__((visibility("hidden"))) void __throw_bad_array_new_length() {
  throw bad_array_new_length();
}

}  // namespace std
