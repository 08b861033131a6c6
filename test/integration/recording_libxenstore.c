// A libxenstore that appends a line for each call to the file RECORD, and calls the real library
// (REAL). LD_LIBRARY_PATH places it before the real one.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

static void *real(const char *name) {
  void *library = dlopen(getenv("REAL"), RTLD_NOW);
  void *function = library == NULL ? NULL : dlsym(library, name);
  if (function == NULL) abort();
  return function;
}

static void record(const char *name, const char *path) {
  char line[4200];
  const int length = snprintf(line, sizeof(line), "%s %s\n", name, path);
  const int descriptor = open(getenv("RECORD"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0 || write(descriptor, line, (size_t)length) != length) abort();
  close(descriptor);
}

struct xs_handle *xs_daemon_open_readonly(void) {
  record("xs_daemon_open_readonly", "");
  return ((struct xs_handle * (*)(void)) real("xs_daemon_open_readonly"))();
}
void xs_close(struct xs_handle *handle) {
  record("xs_close", "");
  ((void (*)(struct xs_handle *))real("xs_close"))(handle);
}
void *xs_read(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
              unsigned *length) {
  record("xs_read", path);
  return ((void *(*)(struct xs_handle *, xs_transaction_t, const char *, unsigned *))real(
      "xs_read"))(handle, transaction, path, length);
}
char **xs_directory(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
                    unsigned *count) {
  record("xs_directory", path);
  return ((char **(*)(struct xs_handle *, xs_transaction_t, const char *, unsigned *))real(
      "xs_directory"))(handle, transaction, path, count);
}
bool xs_watch(struct xs_handle *handle, const char *path, const char *token) {
  record("xs_watch", path);
  return ((bool (*)(struct xs_handle *, const char *, const char *))real("xs_watch"))(handle, path,
                                                                                      token);
}
bool xs_unwatch(struct xs_handle *handle, const char *path, const char *token) {
  record("xs_unwatch", path);
  return ((bool (*)(struct xs_handle *, const char *, const char *))real("xs_unwatch"))(
      handle, path, token);
}
int xs_fileno(struct xs_handle *handle) {
  record("xs_fileno", "");
  return ((int (*)(struct xs_handle *))real("xs_fileno"))(handle);
}
// Not recorded: it is called each second and makes no request.
char **xs_check_watch(struct xs_handle *handle) {
  return ((char **(*)(struct xs_handle *))real("xs_check_watch"))(handle);
}
