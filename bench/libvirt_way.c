// Does the work of libvirtd for one virDomainBlockStats on Xen, without libvirtd: connects to
// xenstored, reads two nodes (the backend's path, and its physical sector size), then opens, reads
// and closes each of seven files. Prints nanoseconds for one disk.
//
//   libvirt_way DIRECTORY DOMID DEVID ROUNDS     XENSTORED_PATH: the socket of xenstored

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

static const char *const FILES[] = {"f_req",   "wr_req", "rd_req", "wr_sect",
                                    "rd_sect", "ds_req", "oo_req"};

static int once(const char *directory, const char *domid, const char *devid) {
  char path[512], text[256];
  unsigned length;
  unsigned long long value, total = 0;
  struct xs_handle *xenstore = xs_open(0);
  if (xenstore == NULL) return -1;
  snprintf(path, sizeof(path), "/local/domain/%s/device/vbd/%s/backend", domid, devid);
  char *backend = xs_read(xenstore, XBT_NULL, path, &length);
  if (backend == NULL) return -1;
  snprintf(path, sizeof(path), "%s/physical-sector-size", backend);
  char *size = xs_read(xenstore, XBT_NULL, path, &length);
  free(backend);
  free(size);
  xs_close(xenstore);
  if (access(directory, F_OK) < 0) return -1;
  for (int i = 0; i < 7; i++) {
    snprintf(path, sizeof(path), "%s/%s", directory, FILES[i]);
    int descriptor = open(path, O_RDONLY);
    if (descriptor < 0) return -1;
    ssize_t count = read(descriptor, text, sizeof(text) - 1);
    close(descriptor);
    if (count < 0) return -1;
    text[count] = '\0';
    if (sscanf(text, "%llu", &value) != 1) return -1;
    total += value;
  }
  return total == 0 ? 1 : 0;
}

int main(int argc, char **argv) {
  struct timespec start, end;
  if (argc != 5) return 1;
  int rounds = atoi(argv[4]);
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int i = 0; i < rounds; i++) {
    if (once(argv[1], argv[2], argv[3]) < 0) return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%f\n", ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / rounds);
  return 0;
}
