// A stub of the hypervisor interfaces that xenstored uses, for a machine without Xen. It is
// preloaded into Debian's xenstored, which is otherwise unchanged. All files of the stub are in the
// directory of xenstored's socket. A domain exists if the file ring-<domid> does, which is mapped
// as the grant of the domain's ring. An event is the number of a port, 4 bytes, written into the
// pipe `events`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int some_handle;

static void path_of(char *path, size_t size, const char *format, uint32_t domid) {
  char name[32];
  snprintf(name, sizeof(name), format, domid);
  snprintf(path, size, "%s/%s", getenv("XENSTORED_RUNDIR"), name);
}
static void ring_of(char *path, size_t size, uint32_t domid) {
  path_of(path, size, "ring-%u", domid);
}

// libxenctrl
void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) {
  (void)logger, (void)dombuild_logger, (void)flags;
  return &some_handle;
}
int xc_interface_close(void *handle) { return (void)handle, 0; }
int xc_domain_getinfo(void *handle, uint32_t domid, unsigned max, void *info) {
  (void)handle, (void)max;
  char ring[4096];
  ring_of(ring, sizeof(ring), domid);
  if (access(ring, F_OK) != 0) return 0;
  // the first fields of xc_dominfo_t: domid, ssidref, flags such as "dying", shutdown reason
  const uint32_t begin[4] = {domid};
  memcpy(info, begin, sizeof(begin));
  return 1;
}

// libxenevtchn
static int event_descriptor(void) {
  static int descriptor = -1;
  if (descriptor < 0) {
    char events[4096];
    path_of(events, sizeof(events), "events", 0);
    mkfifo(events, 0600);
    descriptor = open(events, O_RDWR | O_CLOEXEC);
  }
  return descriptor;
}
void *xenevtchn_open(void *logger, unsigned flags) {
  (void)logger, (void)flags;
  return &some_handle;
}
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags) {
  (void)logger, (void)fd, (void)flags;
  return &some_handle;
}
int xenevtchn_close(void *handle) { return (void)handle, 0; }
int xenevtchn_fd(void *handle) { return (void)handle, event_descriptor(); }
int xenevtchn_bind_interdomain(void *handle, uint32_t domid, uint32_t port) {
  (void)handle, (void)domid;
  return (int)port;
}
int xenevtchn_bind_virq(void *handle, unsigned virq) { return (void)handle, (int)virq + 100; }
int xenevtchn_notify(void *handle, uint32_t port) { return (void)handle, (void)port, 0; }
int xenevtchn_pending(void *handle) {
  (void)handle;
  uint32_t port;
  return read(event_descriptor(), &port, sizeof(port)) == sizeof(port) ? (int)port : -1;
}
int xenevtchn_unbind(void *handle, uint32_t port) { return (void)handle, (void)port, 0; }
int xenevtchn_unmask(void *handle, uint32_t port) { return (void)handle, (void)port, 0; }

// libxengnttab
void *xengnttab_open(void *logger, unsigned flags) {
  (void)logger, (void)flags;
  return &some_handle;
}
int xengnttab_close(void *handle) { return (void)handle, 0; }
int xengnttab_set_max_grants(void *handle, uint32_t count) { return (void)handle, (void)count, 0; }
void *xengnttab_map_grant_ref(void *handle, uint32_t domid, uint32_t ref, int prot) {
  (void)handle, (void)ref;
  char ring[4096];
  ring_of(ring, sizeof(ring), domid);
  const int descriptor = open(ring, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return NULL;
  void *page = mmap(NULL, 4096, prot, MAP_SHARED, descriptor, 0);
  close(descriptor);
  return page == MAP_FAILED ? NULL : page;
}
int xengnttab_unmap(void *handle, void *page, uint32_t count) {
  (void)handle;
  return munmap(page, 4096ul * count);
}

// Replaces the kernel's files for the ring between dom0 and xenstored.
static int memory_file(const char *content, size_t size) {
  int descriptor = memfd_create("xenfs", MFD_CLOEXEC);
  if (descriptor < 0 || ftruncate(descriptor, (off_t)size) < 0) abort();
  if (pwrite(descriptor, content, strlen(content), 0) < 0) abort();
  return descriptor;
}
int open(const char *path, int flags, ...) {
  static int (*real_open)(const char *, int, ...);
  if (real_open == NULL) real_open = dlsym(RTLD_NEXT, "open");
  if (strcmp(path, "/proc/xen/xsd_port") == 0) return memory_file("1", 1);
  if (strcmp(path, "/proc/xen/xsd_kva") == 0) return memory_file("", 4096);

  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return real_open(path, flags, mode);
}
