#pragma once

// A binary built on a new system asks for the newest version of each symbol, although older ones do
// the same. This has it ask for what the oldest systems that run Node 20 have: glibc 2.28 and the
// libstdc++ of GCC 8. To be included where these functions are called.

#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.2.5");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.3.3");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.17");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.17");
#endif
