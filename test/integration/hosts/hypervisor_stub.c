// What xenstored needs of a hypervisor, for a machine that has none: preloaded into Debian's
// xenstored, it answers that there is no domain but dom0, that events can be bound and never come,
// and that any grant can be mapped. All else of xenstored is the real thing.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int some_handle;

// libxenctrl
void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) {
  (void)logger, (void)dombuild_logger, (void)flags;
  return &some_handle;
}
int xc_interface_close(void *handle) { return (void)handle, 0; }
int xc_domain_getinfo(void *handle, uint32_t first, unsigned max, void *info) {
  (void)handle, (void)first, (void)max, (void)info;
  return 0;
}

// libxenevtchn
static int event_descriptor(void) {
  static int descriptor = -1;
  if (descriptor < 0) descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
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
int xenevtchn_pending(void *handle) { return (void)handle, -1; }
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
  (void)handle, (void)domid, (void)ref;
  return mmap(NULL, 4096, prot, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
int xengnttab_unmap(void *handle, void *page, uint32_t count) {
  (void)handle;
  return munmap(page, 4096ul * count);
}

// The kernel's files about the ring between dom0 and xenstored.
static int memory_file(const char *content, size_t size) {
  int descriptor = memfd_create("xenfs", MFD_CLOEXEC);
  if (descriptor < 0 || ftruncate(descriptor, (off_t)size) < 0) abort();
  if (pwrite(descriptor, content, strlen(content), 0) < 0) abort();
  return descriptor;
}
int open(const char *path, int flags, ...) {
  static int (*next)(const char *, int, ...);
  if (next == NULL) next = dlsym(RTLD_NEXT, "open");
  if (strcmp(path, "/proc/xen/xsd_port") == 0) return memory_file("1", 1);
  if (strcmp(path, "/proc/xen/xsd_kva") == 0) return memory_file("", 4096);

  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return next(path, flags, mode);
}
