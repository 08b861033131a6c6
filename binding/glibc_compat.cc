// Defines the symbols that the headers of a new libstdc++ use and an old libstdc++ does not have;
// see glibc_compat.h.

#include <new>

#ifdef __GLIBC__
#include <gnu/libc-version.h>

// Keeps other libcs from loading the binary, which has no other symbol of glibc alone.
__attribute__((used)) static const auto needs_glibc = &gnu_get_libc_version;
#endif

#if defined(__GLIBC__) && defined(__GLIBCXX__)  // musl and libc++ are linked as they are

// Whether the process has one thread only, so that std::shared_ptr needs no atomic operations
// (glibc 2.32). Always false here.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;

namespace std {

// Throws for allocators that are called with an impossible size (GLIBCXX_3.4.29).
__attribute__((visibility("hidden"))) void __throw_bad_array_new_length() {
  throw bad_array_new_length();
}

}  // namespace std

#endif
