/*
 * What Debian's libxenstore and libstdc++ need of glibc and musl does not have, for trying the
 * package on musl on a machine with Debian's packages only.
 */
#include <stdarg.h>
#include <stddef.h>

unsigned long getauxval(unsigned long type);
int getentropy(void* buffer, size_t length);
long sysconf(int name);
int vsnprintf(char* text, size_t size, const char* format, va_list arguments);
int vsprintf(char* text, const char* format, va_list arguments);

int __sprintf_chk(char* text, int flag, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsprintf(text, format, arguments);
  va_end(arguments);
  return length;
}

int __snprintf_chk(char* text, size_t size, int flag, size_t length, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int result = vsnprintf(text, size, format, arguments);
  va_end(arguments);
  return result;
}

long __sysconf(int name) { return sysconf(name); }

// libxenstore cancels a thread of its own at the end: nothing is cleaned up then.
void __pthread_register_cancel(void* buffer) {}
void __pthread_unregister_cancel(void* buffer) {}
void __pthread_unwind_next(void* buffer) { __builtin_trap(); }

char __libc_single_threaded = 0;

// "not found": libgcc then uses dl_iterate_phdr
int _dl_find_object(void* address, void* result) { return -1; }

// libgcc for arm64 asks which atomic instructions the processor has.
unsigned long __getauxval(unsigned long type) { return getauxval(type); }

unsigned arc4random(void) {
  unsigned value = 0;
  getentropy(&value, sizeof(value));
  return value;
}
